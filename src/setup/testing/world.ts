/**
 * A world to try set-up in: a package folder and a cache in a temporary folder, and a runner that plays the programs.
 *
 * The played programs do what the real ones would as far as set-up can tell; `world.play` makes one of them behave in
 * another way. Nothing is really started, so a whole set-up takes milliseconds. programs.test.ts runs the real ones.
 */

import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type Context, createContext } from '../context.mjs';
import { cacheLayout } from '../paths.mjs';
import { Progress } from '../progress.mjs';
import type { Run, RunOptions, RunResult } from '../run.mjs';

type Answer = Partial<RunResult>;
type Player = (args: string[], options: RunOptions) => Answer | Promise<Answer>;

export interface FakeWheel {
  version: string;
  variant: 'cpu' | 'cuda';
  /** The name of the file, where it matters. */
  name?: string;
}

export class World {
  readonly dir = mkdtempSync(join(tmpdir(), 'nudge-world-'));
  readonly root = join(this.dir, 'package');
  readonly cache = join(this.dir, 'cache');
  /** The command lines that were run, in order. */
  readonly ran: string[] = [];
  /** What set-up printed. */
  printed = '';
  env: NodeJS.ProcessEnv = { PATH: '/usr/bin', HOME: this.dir, NUDGE_CACHE: this.cache };
  /** What `pip download` fetches. */
  wheel: FakeWheel = { version: '2.13.0+cpu', variant: 'cpu' };
  /** What the active Python says of itself. */
  python = {
    version: '3.11.7',
    executable: '/usr/bin/python3',
    pip: '24.0' as string | null,
    torch: null as string | null,
  };
  /** The lines of the last requirements file that pip was given. */
  requirements: string[] = [];
  readonly #players: [pattern: RegExp, player: Player][] = [];

  constructor() {
    this.write('package/package.json', '{ "name": "nudge-rlhf" }');
    this.write('package/native/binding.gyp', '{}');
    this.write('package/native/src/addon.cc', '// one\n');
    this.write('package/src/setup/here', '');
    this.write('package/node_modules/node-gyp/bin/node-gyp.js', '');
    this.#play(/^npm /, (_, { cwd }) => installFakePackages(cwd ?? ''));
    this.#play(/probe\.py/, () => ({ output: JSON.stringify(this.python) }));
    this.#play(/pip download/, (args) => this.#download(args));
    this.#play(/pip install/, (args) => this.#install(args));
    this.#play(/unpack_wheel\.py/, (args) => unpack(args));
    this.#play(/node-gyp\.js build/, (_, options) => build(options));
    this.#play(/--version/, () => ({ output: 'tool 12.2.0\n' }));
  }

  /** The context of a set-up in this world; `replaced` wins over it. */
  context(replaced: Partial<Context> = {}): Context {
    return createContext({
      env: this.env,
      cwd: this.root,
      root: this.root,
      platform: 'linux',
      arch: 'x64',
      glibc: '2.36',
      nodeVersion: '24.0.0',
      cache: cacheLayout(this.cache),
      cores: 2,
      memory: 16e9,
      freeBytes: () => 100e9,
      progress: new Progress({ write: (text) => (this.printed += text) }),
      run: this.run,
      ...replaced,
    });
  }

  readonly run: Run = async (command, args, options = {}) => {
    const line = [command, ...args].join(' ');
    this.ran.push(line);
    const player = this.#players.find(([pattern]) => pattern.test(line))?.[1];
    const { code = 0, output = '', missing = false } = (await player?.(args, options)) ?? {};
    for (const text of output.split('\n')) options.onLine?.(text);
    return { code, output, missing };
  };

  /** From now on, command lines that match do this. */
  play(pattern: RegExp, answer: Answer | Player): void {
    this.#players.unshift([pattern, typeof answer === 'function' ? answer : () => answer]);
  }

  /** From now on, the program does not exist. */
  withoutProgram(name: string): void {
    this.play(new RegExp(`^${name.replaceAll('+', '\\+')} `), {
      code: 127,
      missing: true,
      output: `spawn ${name} ENOENT`,
    });
  }

  /** The command lines that match, in order. */
  calls(pattern: RegExp): string[] {
    return this.ran.filter((line) => pattern.test(line));
  }

  write(path: string, text: string): string {
    const full = join(this.dir, path);
    mkdirSync(dirname(full), { recursive: true });
    writeFileSync(full, text);
    return full;
  }

  remove(path: string): void {
    rmSync(join(this.dir, path), { recursive: true, force: true });
  }

  /** A torch package folder, as pip would have installed it. */
  torch(version: string, variant: 'cpu' | 'cuda' = 'cpu'): string {
    const site = join(this.dir, `site-${version}`);
    writeTorch(site, { version, variant });
    return join(site, 'torch');
  }

  /** What lies in a folder of the cache. */
  cached(folder: keyof ReturnType<typeof cacheLayout>): string[] {
    const path = cacheLayout(this.cache)[folder];
    return existsSync(path) ? readdirSync(path) : [];
  }

  [Symbol.dispose](): void {
    rmSync(this.dir, { recursive: true, force: true });
  }

  #play(pattern: RegExp, player: Player): void {
    this.#players.push([pattern, player]);
  }

  #download(args: string[]): Answer {
    const folder = args[args.indexOf('--dest') + 1] ?? '';
    mkdirSync(folder, { recursive: true });
    const { version, name = `torch-${version}-cp399-cp399-manylinux_2_28_x86_64.whl` } = this.wheel;
    writeFileSync(join(folder, name), JSON.stringify(this.wheel));
    return { output: `  Downloading ${name} (187.3 MB)\n` };
  }

  #install(args: string[]): Answer {
    this.requirements = readFileSync(args[args.indexOf('-r') + 1] ?? '', 'utf8')
      .trim()
      .split('\n');
    return {};
  }
}

/** A "wheel" here is its own description; unpacking it makes what a real one has inside. */
function unpack(args: string[]): Answer {
  const [wheel = '', site = ''] = args.slice(-2);
  writeTorch(site, JSON.parse(readFileSync(wheel, 'utf8')) as FakeWheel);
  return { output: 'progress 1000 2000\nprogress 2000 2000\n' };
}

function writeTorch(site: string, { version, variant }: FakeWheel): void {
  const files: Record<string, string> = {
    'torch/version.py': `__version__ = '${version}'\n`,
    'torch/lib/libc10.so': 'c10',
    'torch/lib/libtorch_cpu.so': 'the CPU library',
    'torch/include/ATen/ATen.h': '#pragma once\n',
    [`torch-${version}.dist-info/METADATA`]: 'Requires-Dist: sympy>=1.13.3\n',
  };
  if (variant === 'cuda') {
    files['torch/lib/libtorch_cuda.so'] = 'the CUDA library';
    files[`torch-${version}.dist-info/METADATA`] +=
      'Requires-Dist: cuda-toolkit[cublas]==13.0.3; platform_system == "Linux"\n' +
      'Requires-Dist: nvidia-cudnn-cu13==9.20.0.48; platform_system == "Linux"\n' +
      'Requires-Dist: triton==3.7.1; platform_system == "Linux"\n';
  }
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(site, dirname(name)), { recursive: true });
    writeFileSync(join(site, name), text);
  }
}

function build({ cwd = '' }: RunOptions): Answer {
  mkdirSync(join(cwd, 'build', 'Release'), { recursive: true });
  writeFileSync(join(cwd, 'build', 'Release', 'nudge.node'), 'an addon');
  return { output: '  CXX(target) Release/obj.target/nudge/src/addon.o\n' };
}

/** Does as `npm ci` does: node_modules anew, and npm's list of what is in it. */
function installFakePackages(root: string): Answer {
  const modules = join(root, 'node_modules');
  mkdirSync(join(modules, 'node', 'bin'), { recursive: true });
  writeFileSync(join(modules, 'node', 'bin', 'node'), '');
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { optional?: boolean }>;
  };
  const installed = Object.entries(lock.packages).filter(([path, { optional }]) => path !== '' && !optional);
  writeFileSync(join(modules, '.package-lock.json'), JSON.stringify({ packages: Object.fromEntries(installed) }));
  return {};
}
