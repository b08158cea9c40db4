/**
 * The direction of imports: a folder may use those below it, never those above.
 *
 * A new folder of src/ gets a line in ALLOWED, with what it may use. A folder is entered through its index.ts; DOORS names
 * the files that may be entered directly, and why.
 */
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Import, importsOf } from './support/imports.ts';

const SRC = resolve(import.meta.dirname, '../src');

const LIBTORCH = ['tensor', 'nn', 'models', 'pretrained', 'generate', 'losses', 'train'] as const;
const RECORDS = ['text', 'data', 'feedback/store'] as const;

/** What each folder of src/ (or file in it) may import, from the bottom to the top. Types count as much as values. */
const ALLOWED: Record<string, readonly string[]> = {
  'errors.ts': [],
  setup: [],
  tensor: ['errors.ts', 'setup'],
  nn: ['errors.ts', 'tensor'],
  models: ['errors.ts', 'setup', 'tensor', 'nn'],
  text: ['errors.ts'],
  pretrained: ['errors.ts', 'setup', 'tensor', 'nn', 'models', 'text'],
  data: ['errors.ts', 'text'],
  generate: ['errors.ts', 'setup', 'tensor', 'nn', 'models', 'text'],
  losses: ['errors.ts', 'tensor'],
  train: ['errors.ts', 'setup', 'tensor', 'nn', 'models', 'pretrained', 'generate', 'losses', 'text', 'data'],
  'feedback/store': ['errors.ts', 'text', 'data'],
  feedback: ['errors.ts', 'tensor', 'nn', 'models', 'pretrained', 'generate', ...RECORDS],
  evaluate: ['errors.ts', 'setup', ...LIBTORCH, ...RECORDS, 'feedback'],
  server: ['errors.ts', ...RECORDS],
  pipeline: ['errors.ts', 'setup', ...LIBTORCH, ...RECORDS, 'feedback', 'evaluate', 'server'],
  cli: ['errors.ts', 'setup', ...LIBTORCH, ...RECORDS, 'feedback', 'evaluate', 'server', 'pipeline'],
  'index.ts': ['errors.ts', ...LIBTORCH, ...RECORDS, 'feedback', 'evaluate', 'pipeline'],
};

/** These load where libtorch is absent: nothing that they import, however far away, may load it. */
const WITHOUT_LIBTORCH = ['errors.ts', 'setup', 'text', 'data', 'feedback/store', 'server'];

/** Files that other folders may enter directly. */
const DOORS: Record<string, string> = {
  'setup/*': 'has no index: each start reads the one small file that it needs, and plain .mjs runs on any Node',
  'models/hub/index.ts': 'finds and fetches models without loading libtorch, as models/index.ts would',
  'models/files/index.ts': 'replaces files in one step and explains what the disk refuses, for all that writes, not for models alone',
};

interface Edge extends Import {
  from: string;
  to: string;
}

/** src/models/gguf/reader.ts -> models; feedback/store/... -> feedback/store, which has a line of its own. */
function folderOf(file: string): string {
  const [first = '', second] = file.split('/');
  const nested = `${first}/${second}`;
  return Object.hasOwn(ALLOWED, nested) ? nested : first;
}

const isTest = (file: string): boolean => /\.test\.ts$|(^|\/)testing(\/|\.ts$)/.test(file);

function readEdges(root: string): { files: string[]; edges: Edge[] } {
  const files = globSync('**/*.{ts,mjs,js}', { cwd: root })
    .map((file) => file.split(sep).join('/'))
    .filter((file) => !isTest(file))
    .sort();
  const edges = files.flatMap((from) =>
    importsOf(readFileSync(join(root, from), 'utf8'))
      .filter(({ specifier }) => specifier.startsWith('.'))
      .map((found) => ({
        ...found,
        from,
        to: relative(root, resolve(root, dirname(from), found.specifier))
          .split(sep)
          .join('/'),
      })),
  );
  return { files, edges };
}

function unknownFolders(files: readonly string[]): string[] {
  const unknown = new Set(files.map(folderOf).filter((folder) => !Object.hasOwn(ALLOWED, folder)));
  return [...unknown].map(
    (folder) =>
      `src/${folder} is in no layer: add a line for it to ALLOWED in tests/architecture.test.ts that says what it may import`,
  );
}

function upwardImports(edges: readonly Edge[]): string[] {
  return edges.flatMap(({ from, to, typeOnly }) => {
    const [here, there] = [folderOf(from), folderOf(to)];
    // feedback may use its own store, and nothing else than itself.
    if (here === there || (ALLOWED[here] ?? []).includes(there)) return [];
    const what = typeOnly ? 'a type of ' : '';
    if (to.startsWith('..')) return [`${from} imports ${what}${to}, which is outside src/`];
    if (isTest(to)) return [`${from} imports ${what}${to}, which is part of the tests`];
    return [`${from} imports ${what}${to}: ${here} may only use ${(ALLOWED[here] ?? []).join(', ') || 'nothing'}`];
  });
}

function sideEntrances(edges: readonly Edge[]): string[] {
  return edges.flatMap(({ from, to }) => {
    const there = folderOf(to);
    if (folderOf(from) === there || to === there || to === `${there}/index.ts`) return [];
    if (Object.hasOwn(DOORS, to) || Object.hasOwn(DOORS, `${there}/*`)) return [];
    return [`${from} enters ${to} directly: import from ${there}/index.ts, or give the reason in DOORS`];
  });
}

/** Walks the graph from a file; the first path to a file that `isGoal` accepts. */
function pathTo(start: string, edges: readonly Edge[], isGoal: (file: string) => boolean): string[] | null {
  const seen = new Set([start]);
  const paths = [[start]];
  for (let path = paths.shift(); path !== undefined; path = paths.shift()) {
    for (const { from, to } of edges) {
      if (from !== path.at(-1)) continue;
      if (isGoal(to)) return [...path, to];
      if (!seen.has(to)) paths.push([...path, to]);
      seen.add(to);
    }
  }
  return null;
}

/** Dynamic imports count too: what they load, they load into this process. */
function reachesLibtorch(files: readonly string[], edges: readonly Edge[]): string[] {
  const values = edges.filter(({ typeOnly }) => !typeOnly);
  return files
    .filter((file) => WITHOUT_LIBTORCH.includes(folderOf(file)))
    .flatMap((file) => {
      const path = pathTo(file, values, (goal) => folderOf(goal) === 'tensor');
      return path === null ? [] : [`${path.join(' -> ')}: ${folderOf(file)} must load where libtorch is absent`];
    });
}

/** Modules that need each other while they load. Types are gone by then, and a dynamic import waits until later. */
function cycles(files: readonly string[], edges: readonly Edge[]): string[] {
  const values = edges.filter(({ typeOnly, dynamic }) => !typeOnly && !dynamic);
  const found = new Map<string, string>();
  for (const file of files) {
    const path = pathTo(file, values, (goal) => goal === file);
    if (path !== null) found.set([...new Set(path)].sort().join(), path.join(' -> '));
  }
  return [...found.values()];
}

describe('src/', () => {
  const { files, edges } = readEdges(SRC);

  it('is read, and imports nothing that is not there', () => {
    expect(files.length).toBeGreaterThan(50);
    expect(edges.length).toBeGreaterThan(100);
    expect(edges.filter(({ to }) => !to.startsWith('..') && !files.includes(to) && !isTest(to))).toEqual([]);
  });

  it('has no folder without a layer', () => {
    expect(unknownFolders(files)).toEqual([]);
  });

  it('imports downwards only', () => {
    expect(upwardImports(edges)).toEqual([]);
  });

  it('enters folders through their index.ts', () => {
    expect(sideEntrances(edges)).toEqual([]);
  });

  it('loads without libtorch where it promises to', () => {
    expect(reachesLibtorch(files, edges)).toEqual([]);
  });

  it('has no cycle of imports', () => {
    expect(cycles(files, edges)).toEqual([]);
  });
});

describe('the table of layers', () => {
  it('has no cycle itself', () => {
    const edges = Object.entries(ALLOWED).flatMap(([from, targets]) =>
      targets.map((to) => ({ from, to, specifier: to, typeOnly: false, dynamic: false })),
    );
    expect(cycles(Object.keys(ALLOWED), edges)).toEqual([]);
    expect(edges.filter(({ to }) => !Object.hasOwn(ALLOWED, to))).toEqual([]);
  });

  it('keeps training apart from feedback and evaluation, and libtorch away from those who promise to do without', () => {
    expect(ALLOWED.train).not.toContain('feedback');
    expect(ALLOWED.train).not.toContain('evaluate');
    for (const folder of WITHOUT_LIBTORCH)
      expect(ALLOWED[folder]?.filter((used) => LIBTORCH.includes(used as 'nn'))).toEqual([]);
  });
});

describe('a violation', () => {
  const edge = (from: string, to: string, kind: Partial<Import> = {}): Edge => ({
    from,
    to,
    specifier: to,
    typeOnly: false,
    dynamic: false,
    ...kind,
  });

  it.each([
    ['tensor/scope.ts', 'nn/index.ts', 'tensor/scope.ts imports nn/index.ts: tensor may only use errors.ts, setup'],
    ['train/fit.ts', 'feedback/index.ts', /train may only use/],
    ['train/fit.ts', 'evaluate/index.ts', /train may only use/],
    ['losses/dpo.ts', 'nn/index.ts', 'losses/dpo.ts imports nn/index.ts: losses may only use errors.ts, tensor'],
    ['errors.ts', 'tensor/index.ts', /errors.ts may only use nothing/],
    ['setup/main.mjs', 'errors.ts', /setup may only use nothing/],
    ['nn/module.ts', '../tests/support/errors.ts', /outside src/],
    ['models/reader.ts', 'nn/testing.ts', undefined],
    ['feedback/store/append.ts', 'feedback/index.ts', /feedback\/store may only use/],
    ['server/main.ts', 'feedback/store/index.ts', undefined],
    ['server/main.ts', 'feedback/index.ts', /server may only use/],
  ])('%s -> %s', (from, to, message) => {
    const found = upwardImports([edge(from, to)]);
    if (message === undefined) expect(found).toEqual([]);
    else expect(found[0]).toMatch(message);
    expect(upwardImports([edge(from, to, { typeOnly: true })]).length).toBe(found.length);
  });

  it('a folder that nobody knows', () => {
    expect(unknownFolders(['tensor/a.ts', 'rewards/a.ts'])[0]).toMatch(/^src\/rewards is in no layer: add a line/);
  });

  it('a file of another folder that is not its index', () => {
    expect(sideEntrances([edge('nn/module.ts', 'tensor/native.ts')])[0]).toMatch(
      /^nn\/module.ts enters tensor\/native.ts directly/,
    );
    expect(
      sideEntrances([
        edge('nn/module.ts', 'tensor/index.ts'),
        edge('nn/a.ts', 'nn/b/c.ts'),
        edge('nn/a.ts', 'errors.ts'),
        edge('tensor/native.ts', 'setup/engine.mjs'),
      ]),
    ).toEqual([]);
  });

  it('libtorch, reached from afar', () => {
    const edges = [
      edge('server/a.ts', 'data/index.ts'),
      edge('data/index.ts', 'data/b.ts'),
      edge('data/b.ts', 'tensor/index.ts', { dynamic: true }),
    ];
    expect(reachesLibtorch(['server/a.ts'], edges)).toEqual([
      'server/a.ts -> data/index.ts -> data/b.ts -> tensor/index.ts: server must load where libtorch is absent',
    ]);
    const [first, second, third] = edges as [Edge, Edge, Edge];
    expect(reachesLibtorch(['server/a.ts'], [first, second, { ...third, typeOnly: true }])).toEqual([]);
  });

  it('a cycle, which types and dynamic imports do not close', () => {
    const edges = [edge('nn/a.ts', 'nn/b.ts'), edge('nn/b.ts', 'nn/c.ts'), edge('nn/c.ts', 'nn/a.ts')];
    const files = ['nn/a.ts', 'nn/b.ts', 'nn/c.ts'];
    expect(cycles(files, edges)).toEqual(['nn/c.ts -> nn/a.ts -> nn/b.ts -> nn/c.ts']);
    const [first, second] = edges as [Edge, Edge, Edge];
    expect(cycles(files, [first, second, edge('nn/c.ts', 'nn/a.ts', { typeOnly: true })])).toEqual([]);
    expect(cycles(files, [first, second, edge('nn/c.ts', 'nn/a.ts', { dynamic: true })])).toEqual([]);
    expect(cycles(['nn/a.ts'], [edge('nn/a.ts', 'nn/a.ts')])).toHaveLength(1);
  });
});

describe('reading imports', () => {
  const value = { typeOnly: false, dynamic: false };
  const type = { typeOnly: true, dynamic: false };

  it.each<[string, Partial<Import> | null]>([
    ["import './a.ts';", value],
    ["import a from './a.ts';", value],
    ["import * as a from './a.ts';", value],
    ["import { a, b as c } from './a.ts';", value],
    ["import a, { type B } from './a.ts';", value],
    ["import { type A, b } from './a.ts';", value],
    ["import {} from './a.ts';", value],
    ["import {\n  type A, // } from './b.ts'\n  type B,\n} from './a.ts';", type],
    ["import { type A as B, type C } from './a.ts';", type],
    ["import type { A } from './a.ts';", type],
    ["import type A from './a.ts';", type],
    ["import type * as A from './a.ts';", type],
    ["import type from './a.ts';", value],
    ["import type, { a } from './a.ts';", value],
    ["import { type } from './a.ts';", value],
    ["import { type as a } from './a.ts';", value],
    ["import { from } from './a.ts';", value],
    ["import from from './a.ts';", value],
    ['import { "a b" as c } from \'./a.ts\';', value],
    ['import a from "./a.ts" with { type: "json" };', value],
    ["export * from './a.ts';", value],
    ["export * as a from './a.ts';", value],
    ["export { a } from './a.ts';", value],
    ["export { default } from './a.ts';", value],
    ["export { type A, b } from './a.ts';", value],
    ["export { type A } from './a.ts';", type],
    ["export type { A } from './a.ts';", type],
    ["export type * from './a.ts';", type],
    ["const a = await import('./a.ts');", { typeOnly: false, dynamic: true }],
    ["let a: typeof import('./a.ts');", { typeOnly: true, dynamic: true }],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the source of a template literal
    ["const s = `${await import('./a.ts')} and ${`deeper ${1}`}`;", { typeOnly: false, dynamic: true }],
    ["import'./a.ts'", value],
    ["import{a}from'./a.ts'", value],
    ["/* import './b.ts' */ import /* here */ { a } /* and */ from /* there */ './a.ts' // import './c.ts'", value],
    ["const r = /import '.\\/b.ts'/; import './a.ts';", value],
    ["const r = /[/]'/; import { a } from './a.ts';", value],
    ["const q = x / 2; const s = 'a'; import './a.ts'; const t = y / 3;", value],
    ["if (x) /'/.test(y);\nimport './a.ts';", value],
    ["const s = 'it\\'s'; import './a.ts';", value],
    ["return /`/; import './a.ts';", value],
    ['const s = "import { a } from \'./b.ts\'";', null],
    ["const s = `import { a } from './b.ts'`;", null],
    ["// import './b.ts'", null],
    ["/** @import { A } from './b.ts' */", null],
    ["const url = new URL('./b.ts', import.meta.url);", null],
    ["export const from = './b.ts';", null],
    ["export default './b.ts';", null],
    ["export type From = './b.ts';", null],
    ["export type { A };\nconst from = './b.ts';", null],
    ["export { a };\nconst b = './b.ts';", null],
    ["export function from() { return './b.ts'; }", null],
    ["const o = { import: './b.ts', export: 1, from: './c.ts' };", null],
    ["module.import('./b.ts');", null],
    ['const a = await import(path);', null],
  ])('%s', (source, expected) => {
    expect(importsOf(source)).toEqual(expected === null ? [] : [{ specifier: './a.ts', ...expected }]);
  });

  it('finds all of a file, in order', () => {
    const source = `#!/usr/bin/env node
      import { a } from './a.ts'
      import type { B } from './b.ts'
      export { a }
      export * from './c.ts'
      export const d = async () => import('./d.ts')
      export interface E { from: './no.ts' }
    `;
    expect(importsOf(source).map(({ specifier }) => specifier)).toEqual(['./a.ts', './b.ts', './c.ts', './d.ts']);
  });
});
