#!/usr/bin/env node
// The `nudge` command. Plain JavaScript that an old Node can read too: there it goes on with the Node that set-up
// installed, or says what is missing.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import * as module from 'node:module';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const MINIMUM = 24;
const root = dirname(dirname(fileURLToPath(import.meta.url)));
// A checkout has the sources, which run as they are; the published package has only what was built from them.
const source = join(root, 'src', 'cli', 'main.ts');
const main = existsSync(source) ? source : join(root, 'dist', 'src', 'cli', 'main.js');

if (Number(process.versions.node.split('.')[0]) >= MINIMUM) await start();
else continueOnNewerNode(join(root, 'node_modules', 'node', 'bin', 'node'));

async function start() {
  try {
    // Reading TypeScript costs 0.2 s a start; what was compiled is kept.
    const { cacheFolder } = await import('../src/setup/paths.mjs').catch(() => import('../dist/src/setup/paths.mjs'));
    module.enableCompileCache?.(join(cacheFolder(process.env), 'compile'));
    const cli = await import(pathToFileURL(main).href);
    process.exitCode = await cli.main(process.argv.slice(2));
  } catch (error) {
    if (error?.code !== 'ERR_MODULE_NOT_FOUND') throw error;
    fail('Nudge is not installed completely.', [
      `received: ${error.message.split('\n')[0]}`,
      existsSync(source) ? `remedy:   run \`npm run setup\` in ${root}` : 'remedy:   install the package again',
    ]);
  }
}

function continueOnNewerNode(node) {
  if (!existsSync(node)) {
    fail('This Node is too old for Nudge.', [
      `expected: Node ${MINIMUM} or newer`,
      `received: ${process.versions.node}`,
      existsSync(source)
        ? `remedy:   run \`npm run setup\` in ${root}; it brings a newer Node for this folder`
        : 'remedy:   install Node 24 from https://nodejs.org',
    ]);
    return;
  }
  const child = spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit' });
  // The terminal sends Ctrl-C to the child as well; other signals reach only this process.
  process.on('SIGINT', () => {});
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => fail('The Node that set-up installed does not run.', [`received: ${error.message}`]));
  child.on('exit', (code, signal) => {
    process.exitCode = signal ? 128 + constants.signals[signal] : code;
  });
}

function fail(summary, lines) {
  process.stderr.write(`${summary}\n${lines.map((line) => `  ${line}\n`).join('')}`);
  process.exitCode = 1;
}
