// `npm run build`: makes dist/, the part of the published package that is built. The addon is not in it: `nudge setup`
// builds that on the user's machine, against the user's libtorch.

import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
/** What the sources read beside themselves at run time and the compiler does not copy. */
const ASSETS = /\.(py|json|txt|wasm)$/;

rmSync(join(root, 'dist'), { recursive: true, force: true });
const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
if (!existsSync(compiler)) fail('TypeScript is not installed: run `npm run setup` first');
const result = spawnSync(process.execPath, [compiler, '--project', 'tsconfig.build.json'], {
  cwd: root,
  stdio: 'inherit',
});
if (result.status !== 0) fail('the sources do not compile; see above');
copyAssets('src');

/** @param {string} folder */
function copyAssets(folder) {
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    const path = join(folder, entry.name);
    // What only tests use does not go out.
    if (entry.name === 'testing') continue;
    if (entry.isDirectory()) copyAssets(path);
    else if (ASSETS.test(entry.name)) {
      mkdirSync(dirname(join(root, 'dist', path)), { recursive: true });
      copyFileSync(join(root, path), join(root, 'dist', path));
    }
  }
}

/**
 * @param {string} reason
 * @returns {never}
 */
function fail(reason) {
  console.error(`The build failed: ${reason}.`);
  process.exit(1);
}
