/**
 * The expected records were written by TensorBoard 2.21's own RecordWriter and Event messages. Whole files, a resumed run and
 * numbers that are not finite were read back once by its EventAccumulator, its plugin accumulator and a running
 * `tensorboard --logdir` over HTTP: all three showed the same values, and dropped what the resumed run replaced.
 */
import { expect, test } from 'vitest';
import { crc32c, scalarsRecord, startRecord, versionRecord } from './tensorboard.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

test("records are TensorBoard's own, byte for byte", () => {
  expect(hex(scalarsRecord(1700000000.5, 300, { loss: 0.1, 'eval/größe': Number.POSITIVE_INFINITY }))).toBe(
    '300000000000000095f5d05f0900002040fc54d94110ac022a220a0b0a046c6f737315cdcccc3d0a130a0c6576616c2f6772c3b6c39f65150000807fc952d7bd',
  );
  expect(hex(versionRecord(1.5))).toBe(
    '1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c',
  );
  expect(hex(startRecord(1.5, 7))).toBe('0f000000000000006d532b0909000000000000f83f10073a020801774771c7');
});

test('CRC-32C of RFC 3720, appendix B.4', () => {
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
  expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
  expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
});
