import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { CLIENT, findPeer, install } from '../../scripts/peers/packages.mjs';
import { inTemporaryDirectory } from '../../src/models/testing.ts';
import { createContext } from '../../src/setup/context.mjs';
import { Progress } from '../../src/setup/progress.mjs';

/** A cache of its own, and an npm that does what a test says. */
function world(cache: string, npm: (folder: string) => number) {
  const calls: string[][] = [];
  const context = createContext({
    env: { NUDGE_CACHE: cache },
    progress: new Progress({ write: () => {} }),
    async run(_command, args, options) {
      calls.push(args);
      return { code: npm(options!.cwd!), output: 'npm error code E404\nnpm error see the log', missing: false };
    },
  });
  return { calls, context };
}

it('installs once, without scripts and other platforms, and again for another version', async () => {
  await inTemporaryDirectory(async (cache) => {
    const { calls, context } = world(cache, (folder) => {
      writeFileSync(join(folder, 'package.json'), '{}');
      return 0;
    });
    expect(findPeer(context.env, CLIENT).missing).toMatch(/not in the cache; `node scripts\/peers\/llama.mjs`/);
    expect((await install(context, CLIENT)).changed).toBe(true);
    expect(calls).toEqual([expect.arrayContaining(['--ignore-scripts', '--omit=optional', ...CLIENT.packages])]);
    const { folder, missing } = findPeer(context.env, CLIENT);
    expect(missing).toBeNull();
    expect(readdirSync(folder)).toContain('package.json');
    expect((await install(context, CLIENT)).changed).toBe(false);
    expect(calls).toHaveLength(1);
    expect((await install(context, { ...CLIENT, packages: ['node-llama-cpp@99'] })).changed).toBe(true);
    expect(findPeer(context.env, CLIENT).missing).not.toBeNull();
  });
});

it('leaves nothing behind when it fails, and says why', async () => {
  await inTemporaryDirectory(async (cache) => {
    const { context } = world(cache, () => 1);
    await expect(install(context, CLIENT)).rejects.toThrow(/could not be fetched[\s\S]*E404[\s\S]*skipped/);
    expect(readdirSync(join(cache, 'peers'))).toEqual([]);
  });
});
