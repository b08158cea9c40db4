/**
 * src/tensor/generated/ is what `npm run generate` writes from the operators of the libtorch at hand.
 *
 * Never import src/tensor/index.ts here: it installs the operators on Tensor, and the generator would take them for
 * methods written by hand.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FOLDER, groupByOperator, renderSchemas, renderTypes } from '../scripts/generate/operators.ts';
import { native } from '../src/tensor/native.ts';

const committed = (name: string): string => readFileSync(join(FOLDER, name), 'utf8');
const versionOf = (text: string): string => /operators of libtorch (\S+)\. Do not edit/.exec(text)?.[1] ?? 'no version';

/** Equality of files of 10,000 lines: a difference shows as its first lines, not as both files. */
function firstDifference(actual: string, expected: string): string | null {
  const [left, right] = [actual.split('\n'), expected.split('\n')];
  const line = right.findIndex((text, i) => text !== left[i]);
  if (line < 0 && left.length === right.length) return null;
  const at = line < 0 ? right.length : line;
  return `line ${at + 1}:\n- committed: ${left[at]}\n- rendered:  ${right[at]}\nRun \`npm run generate\` and commit the result.`;
}

const wanted = versionOf(committed('schemas.ts'));
const present = native.version().torch;
const reason = wanted === present ? '' : `: skipped, they were made from libtorch ${wanted} and this is ${present}`;

describe.skipIf(wanted !== present)(`the generated files${reason}`, () => {
  const groups = groupByOperator(native.schemas());

  it('schemas.ts is what the generator renders', () => {
    expect(firstDifference(committed('schemas.ts'), renderSchemas(groups))).toBeNull();
  });

  it('types.ts is what the generator renders', () => {
    expect(firstDifference(committed('types.ts'), renderTypes(groups))).toBeNull();
  });

  it('are of one version', () => {
    expect(versionOf(committed('types.ts'))).toBe(wanted);
  });

  it('hold the operators that people look for', () => {
    for (const name of [
      'add',
      'matmul',
      'scaled_dot_product_attention',
      '_foreach_add_',
      '_fused_adamw_',
      'index_put_',
    ]) {
      expect([...groups.keys()]).toContain(name);
    }
    expect(groups.size).toBeGreaterThan(1500);
  });
});

describe('the comparison', () => {
  it('sees a changed, a missing and an added line', () => {
    expect(firstDifference('a\nb\nc', 'a\nb\nc')).toBeNull();
    expect(firstDifference('a\nx\nc', 'a\nb\nc')).toMatch(/^line 2:\n- committed: x\n- rendered: {2}b/);
    expect(firstDifference('a\nb', 'a\nb\nc')).toMatch(/^line 3/);
    expect(firstDifference('a\nb\nc', 'a\nb')).toMatch(/^line 3/);
  });
});
