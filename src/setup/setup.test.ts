import { mkdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { locateEngine } from './engine.mjs';
import { SetupError } from './failure.mjs';
import { setUp } from './setup.mjs';
import { World } from './testing/world.ts';

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world[Symbol.dispose]());

/** What the run time would find in the world. */
const engine = () => locateEngine({ env: world.env, cwd: world.root, root: world.root, platform: 'linux' });
/** A context in which starting any program is a failure. */
const still = () => world.context({ run: (command) => Promise.reject(new Error(`started ${command}`)) });

describe('a fresh set-up', () => {
  test('fetches libtorch, builds the addon and tells the run time where both are', async () => {
    const { changed } = await setUp(world.context());
    expect(changed).toBe(true);
    const found = engine();
    expect(found).toMatchObject({ torchVersion: '2.13.0+cpu', variant: 'cpu', extraLibraries: [] });
    expect(found.torchDir).toBe(join(world.cache, 'torch', '2.13.0-cpu-linux-x64', 'torch'));
    expect(statSync(found.addon).size).toBeGreaterThan(0);
    expect(world.calls(/node-gyp\.js build/)[0]).toContain('--jobs 2');
    expect(world.calls(/node-gyp\.js configure/)[0]).toContain(`-Dtorch_dir=${found.torchDir}`);
  });

  test('records the checksum of the wheel and leaves nothing temporary', async () => {
    await setUp(world.context());
    const site = join(world.cache, 'torch', '2.13.0-cpu-linux-x64');
    expect(JSON.parse(readFileSync(join(site, 'nudge-torch.json'), 'utf8')).sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(world.cached('temporary')).toEqual([]);
    expect(world.cached('lock')).toEqual([]);
  });

  test('prints plain lines with the step and its result in a log', async () => {
    await setUp(world.context());
    expect(world.printed).toMatch(/^\[1\/2\] libtorch\n\[1\/2\] libtorch 2\.13\.0\+cpu from .*\n\[2\/2\] addon\n/);
    expect(world.printed).not.toContain('\x1b');
  });

  test('asks PyTorch’s CPU index first, without patience, and pip’s own index then', async () => {
    world.play(/pip download.*--index-url/, { code: 1, output: 'Connection refused' });
    await setUp(world.context());
    const downloads = world.calls(/pip download/);
    expect(downloads).toHaveLength(2);
    expect(downloads[0]).toMatch(/--index-url https:\S+\/cpu --timeout 5 --retries 0$/);
    expect(downloads[1]).not.toContain('--index-url');
  });

  test('asks for the wheel of another Python where this one has none', async () => {
    world.play(/pip download.*--index-url/, { code: 1, output: 'Connection refused' });
    world.play(/pip download(?!.*--python-version)/, { code: 1, output: 'ERROR: No matching distribution found' });
    await setUp(world.context());
    expect(world.calls(/pip download/).at(-1)).toContain('--python-version 3.12 --only-binary :all:');
  });
});

describe('the second call', () => {
  test('starts no program, changes nothing and takes less than 100 ms', async () => {
    await setUp(world.context());
    const begin = performance.now();
    expect(await setUp(still())).toMatchObject({ changed: false });
    expect(performance.now() - begin).toBeLessThan(100);
  });

  test('locateEngine takes less than 5 ms', async () => {
    await setUp(world.context());
    const times = Array.from({ length: 20 }, () => {
      const begin = performance.now();
      engine();
      return performance.now() - begin;
    });
    expect(times.sort((a, b) => a - b)[10]).toBeLessThan(5);
  });

  test('another package folder with the same sources shares libtorch and the addon', async () => {
    await setUp(world.context());
    const before = world.calls(/pip download|node-gyp/).length;
    const other = join(world.dir, 'other');
    mkdirSync(join(other, 'native', 'src'), { recursive: true });
    writeFileSync(join(other, 'package.json'), '{}');
    for (const file of ['binding.gyp', 'src/addon.cc']) {
      writeFileSync(join(other, 'native', file), readFileSync(join(world.root, 'native', file)));
    }
    await setUp(world.context({ root: other, cwd: other }));
    expect(world.calls(/pip download|node-gyp/)).toHaveLength(before);
    expect(locateEngine({ env: world.env, cwd: other, root: other, platform: 'linux' }).addon).toBe(engine().addon);
  });
});

describe('when something changed', () => {
  test('without a set-up the run time says what to run', () => {
    expect(engine).toThrow(/engine is not ready: this package folder has not been set up[\s\S]*run `npm run setup`/);
  });

  test('sources: the run time notices, set-up builds again and writes only the changed file', async () => {
    await setUp(world.context());
    const first = engine().addon;
    const source = join(world.root, 'native', 'src', 'addon.cc');
    writeFileSync(source, '// two\n');
    // An old time stamp, as after `git checkout`, must not hide the change from make.
    utimesSync(source, new Date(2000, 0), new Date(2000, 0));
    expect(engine).toThrow(/built from other sources[\s\S]*npm run setup/);
    await setUp(world.context());
    expect(engine().addon).not.toBe(first);
    const copy = join(world.cache, 'build', world.cached('build')[0] ?? '', 'src', 'addon.cc');
    expect(readFileSync(copy, 'utf8')).toBe('// two\n');
    expect(Date.now() - statSync(copy).mtimeMs).toBeLessThan(60_000);
  });

  test('time stamps only: nothing to do', async () => {
    await setUp(world.context());
    utimesSync(join(world.root, 'native', 'src', 'addon.cc'), new Date(), new Date());
    expect(await setUp(still())).toMatchObject({ changed: false });
  });

  test('libtorch: the run time notices, set-up builds against the new one', async () => {
    const dir = world.torch('2.12.1');
    world.env.NUDGE_TORCH = dir;
    await setUp(world.context());
    writeFileSync(join(dir, 'lib', 'libtorch_cpu.so'), 'another');
    expect(engine).toThrow(/was replaced after the addon was built/);
    await setUp(world.context());
    expect(engine().torchVersion).toBe('2.12.1');
    expect(world.calls(/node-gyp\.js build/)).toHaveLength(2);
  });

  test('the cache was emptied: set-up starts over', async () => {
    await setUp(world.context());
    world.remove('cache/torch');
    expect(engine).toThrow(/libtorch is gone/);
    await setUp(world.context());
    expect(engine().torchVersion).toBe('2.13.0+cpu');
  });

  test('a cached libtorch that was cut short is fetched again', async () => {
    await setUp(world.context());
    writeFileSync(join(engine().libDir, 'libtorch_cpu.so'), 'short');
    await setUp(world.context(), { fresh: true });
    expect(readFileSync(join(engine().libDir, 'libtorch_cpu.so'), 'utf8')).toBe('the CPU library');
  });
});

describe('which libtorch', () => {
  test('NUDGE_TORCH wins, is kept when it is no longer set, and --fresh forgets it', async () => {
    const dir = world.torch('2.11.0');
    world.env.NUDGE_TORCH = dir;
    await setUp(world.context());
    expect(engine()).toMatchObject({ torchDir: dir, source: 'environment variable NUDGE_TORCH' });
    delete world.env.NUDGE_TORCH;
    expect(await setUp(still())).toMatchObject({ changed: false });
    await setUp(world.context(), { fresh: true });
    expect(engine().torchVersion).toBe('2.13.0+cpu');
  });

  test('a NUDGE_TORCH that differs from the engine is refused by the run time', async () => {
    await setUp(world.context());
    world.env.NUDGE_TORCH = world.torch('2.11.0');
    expect(engine).toThrow(/NUDGE_TORCH asks for .*, but the engine was set up with/);
  });

  test.each([
    ['nudge.config.json', (torch: string) => ({ torch })],
    ['package.json', (torch: string) => ({ nudge: { torch } })],
  ])('%s names it, relative to the project', async (file, content) => {
    const dir = world.torch('2.11.0');
    world.write(`project/${file}`, JSON.stringify(content('../site-2.11.0/torch')));
    const cwd = join(world.dir, 'project');
    const { record } = await setUp(world.context({ cwd }));
    expect(record).toMatchObject({ torchDir: dir, source: expect.stringContaining(join(cwd, file)) });
  });

  test('the active Python’s torch is used', async () => {
    const dir = world.torch('2.12.0');
    world.python.torch = dir;
    await setUp(world.context());
    expect(engine()).toMatchObject({ torchDir: dir, source: `the active Python (${dir})` });
    expect(world.calls(/pip download/)).toEqual([]);
  });

  test.each(['2.10.0', '2.14.0'])('the active Python’s torch %s is skipped with a note', async (version) => {
    world.python.torch = world.torch(version);
    await setUp(world.context());
    expect(world.printed).toContain(`Skipping the active Python's torch ${version}`);
    expect(engine().torchVersion).toBe('2.13.0+cpu');
  });

  test('--cuda fetches NVIDIA’s libraries too and names libtorch_cuda', async () => {
    world.wheel = { version: '2.13.0', variant: 'cuda' };
    await setUp(world.context(), { cuda: true });
    const { variant, extraLibraries, libDir } = engine();
    expect({ variant, extraLibraries }).toEqual({
      variant: 'cuda',
      extraLibraries: [join(libDir, 'libtorch_cuda.so')],
    });
    expect(world.calls(/pip download/)[0]).not.toContain('--index-url');
    expect(world.requirements.map((line) => /^[\w-]+/.exec(line)?.[0])).toEqual(['cuda-toolkit', 'nvidia-cudnn-cu13']);
  });

  test('a CUDA wheel that came for the CPU gets the libraries it needs to load', async () => {
    world.wheel = { version: '2.13.0', variant: 'cuda' };
    await setUp(world.context(), { cpu: true });
    expect(world.printed).toContain('only the CUDA build of libtorch can be had here');
    expect(world.calls(/pip install/)).toHaveLength(1);
    expect(await setUp(still())).toMatchObject({ changed: false });
  });

  test('--cuda with a CPU engine chooses again; NUDGE_DEVICE=cuda makes the run time refuse it', async () => {
    await setUp(world.context(), { cpu: true });
    world.env.NUDGE_DEVICE = 'cuda:0';
    expect(engine).toThrow(SetupError);
    world.wheel = { version: '2.13.0', variant: 'cuda' };
    await setUp(world.context(), { cuda: true });
    expect(engine().variant).toBe('cuda');
  });
});
