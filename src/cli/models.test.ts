/** `nudge models`, as a user runs it. */

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ID, tinyRepository, World } from '../models/hub/testing/world.ts';

const BIN = join(import.meta.dirname, '..', '..', 'bin', 'nudge.js');

function nudge(world: World, ...args: string[]) {
  const child = spawn(process.execPath, [BIN, 'models', ...args], {
    env: world.env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (text) => {
    stdout += text;
  });
  child.stderr.on('data', (text) => {
    stderr += text;
  });
  return new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) =>
    child.on('close', (code) => resolve({ code, stdout, stderr })),
  );
}

describe('nudge models', () => {
  test('--help has examples', async () => {
    await using world = await World.create();
    const { code, stdout } = await nudge(world, '--help');
    expect({ code, stdout }).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('Examples:\n  nudge models list'),
    });
  });

  test('pull, show, list, remove', async () => {
    await using world = await World.create();
    const pulled = await nudge(world, 'pull', ID);
    const path = pulled.stdout.trim();
    expect({ ...pulled, there: existsSync(path) }).toMatchObject({ code: 0, there: true });
    expect(pulled.stderr).toMatch(
      /^- getting tiny\/model\n- tiny\/model from 127\.0\.0\.1:\d+, main at 0123456 \(.* s\)\n$/,
    );

    const shown = await nudge(world, 'show', ID);
    expect(shown).toMatchObject({ code: 0, stderr: '' });
    expect(shown.stdout).toMatch(
      /name {10}tiny\/model\nsource {8}from the cache .*\nrevision {6}0123456789abcdef.*\npath {10}\/.*\narchitecture {2}LlamaForCausalLM\nparameters {4}150 k, BF16\nlayers {8}2 of width 64\nvocabulary {4}2000\ncontext {7}512 tokens\nchat template yes\n/,
    );

    expect((await nudge(world, 'list')).stdout).toMatch(/tiny\/model +0 MB +tiny--model@0123456789ab\n/);
    const listed = JSON.parse((await nudge(world, 'list', '--json')).stdout);
    expect(listed.models.at(-1)).toMatchObject({ id: ID, copies: [{ state: 'complete' }] });

    expect(await nudge(world, 'remove', ID)).toMatchObject({ code: 2, stderr: expect.stringContaining('Add --yes') });
    expect(existsSync(path)).toBe(true);
    expect(await nudge(world, 'remove', ID, '--yes')).toMatchObject({
      code: 0,
      stdout: 'Removed tiny/model: 0 MB freed.\n',
    });
    expect(existsSync(path)).toBe(false);
  });

  test('a failure says where, why and what to do, on stderr or as JSON', async () => {
    await using world = await World.create(tinyRepository({ gated: true }));
    const failed = await nudge(world, 'pull', ID);
    expect(failed).toMatchObject({ code: 1, stdout: '' });
    expect(failed.stderr).toMatch(
      /hub: this model is only for those .*\nError: This model is only for those[\s\S]*Accept the licence at http/,
    );
    const { code, stdout } = await nudge(world, 'pull', ID, '--json');
    expect({ code, report: JSON.parse(stdout) }).toMatchObject({
      code: 1,
      report: { ok: false, error: { code: 'MODEL_GATED' } },
    });
  });

  test('show fetches nothing', async () => {
    await using world = await World.create();
    expect(await nudge(world, 'show', ID)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('is not on this machine'),
    });
    expect(world.hub.seen).toEqual([]);
  });
});
