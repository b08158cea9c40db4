/** The code in README.md and docs/ runs as printed; only the package's name is replaced by the sources. */

import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'nudge-docs-'));
afterAll(() => rmSync(folder, { recursive: true }));

const pages = [
  'README.md',
  ...readdirSync(join(root, 'docs')).flatMap((name) => (name.endsWith('.md') ? [`docs/${name}`] : [])),
];

function snippets(page: string): string[] {
  const text = readFileSync(join(root, page), 'utf8');
  return [...text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map((match) => match[1] as string);
}

function asProgram(code: string): string {
  return code.replaceAll(
    /'nudge-rlhf(\/\w+)?'/g,
    (_, module = '') => `'${pathToFileURL(join(root, 'src', module, 'index.ts')).href}'`,
  );
}

async function run(name: string, code: string): Promise<string> {
  const file = join(folder, name);
  writeFileSync(file, asProgram(code));
  return (await promisify(execFile)(process.execPath, [file])).stdout;
}

describe('the code in the documentation runs', () => {
  for (const page of pages) {
    snippets(page).forEach((code, i) => {
      test(`${page}, snippet ${i + 1}`, async () => {
        await run(`${page.replaceAll(/\W/g, '-')}-${i}.mts`, code);
      });
    });
  }

  test("the README's ten lines are ten, and find the relation", async () => {
    const code = snippets('README.md')[0] as string;
    expect(code.trim().split('\n').length).toBeLessThanOrEqual(10);
    expect(await run('readme-ten.mts', code)).toBe('tensor([ 2.0000, -3.0000,  1.0000], requires_grad=True)\n');
  });

  test("the README's network learns exclusive or", async () => {
    const output = await run('readme-network.mts', `${snippets('README.md')[1]}`);
    const losses = output
      .trim()
      .split('\n')
      .map((line) => Number(line.split(' ')[1]));
    expect(losses).toHaveLength(200);
    expect(losses[0]).toBeGreaterThan(0.4);
    expect(losses.at(-1)).toBeLessThan(0.05);
  });
});
