/**
 * Node's headers, for the build of the addon.
 *
 * They are copied into the cache once: those in node_modules vanish with the next `npm install` (see packages.mjs), even
 * in the middle of a build, and a path that is the same for every checkout lets make keep what it has compiled.
 */

import { cpSync, existsSync, readdirSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { bundledNode } from './context.mjs';
import { makeTemporaryFolder, readJsonOrNull } from './files.mjs';
import { restoreNodePackage } from './packages.mjs';
import { realPath } from './paths.mjs';

/** @import { Context } from './context.mjs' */

/**
 * @param {Context} context
 * @param {string} node The Node that runs Nudge.
 * @param {{ addChild: (pid: number) => void }} lock
 * @returns {Promise<string | null>} A folder with include/node, for node-gyp's --nodedir; null: node-gyp fetches them.
 */
export async function provideHeaders(context, node, lock) {
  const isBundled = node === bundledNode(context.root);
  const version = isBundled
    ? readJsonOrNull(join(context.root, 'node_modules', 'node', 'package.json'))?.version
    : context.nodeVersion;
  const kept = join(context.cache.headers, String(version));
  if (existsSync(kept)) return kept;

  let found = headerFolder(node);
  if (found === null && isBundled) {
    context.progress.update('fetching Node’s headers');
    await restoreNodePackage(context, lock);
    found = headerFolder(node);
  }
  if (found === null) return null;
  const copy = makeTemporaryFolder(context.cache.temporary);
  cpSync(join(found, 'include', 'node'), join(copy, 'include', 'node'), { recursive: true });
  renameSync(copy, kept);
  return kept;
}

/**
 * The folder whose include/node belongs to a Node program: the npm package and nodejs.org's archives ship it.
 *
 * @param {string} node
 * @returns {string | null}
 */
export function headerFolder(node) {
  const prefix = dirname(dirname(realPath(node)));
  const candidates = [prefix];
  // The npm package `node` links its program from a package beside or inside it, where the headers are.
  for (const modules of [join(prefix, 'node_modules'), dirname(prefix)]) {
    if (!existsSync(modules)) continue;
    for (const name of readdirSync(modules)) {
      if (/^node-(bin-)?(linux|darwin)-/.test(name)) candidates.push(join(modules, name));
    }
  }
  return candidates.find((folder) => existsSync(join(folder, 'include', 'node', 'node_api.h'))) ?? null;
}
