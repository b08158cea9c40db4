/** What the tensor library promises on every device. */
import { describe, expect, it } from 'vitest';
import { DTYPES, type DType, dtypeBytes, slice, type Tensor, torch } from '../../src/tensor/index.ts';
import '../support/allClose.ts';
import { errorOf, messageOf } from '../support/errors.ts';

/** Numbers that each dtype holds exactly, so that what comes out must equal what went in. */
const SAMPLES: Record<DType, readonly (number | bigint | boolean)[]> = {
  uint8: [0, 1, 255],
  int8: [-128, 0, 127],
  int16: [-32768, 0, 32767],
  int32: [-(2 ** 31), 0, 2 ** 31 - 1],
  int64: [-(2n ** 63n), 0, 2n ** 63n - 1n],
  uint16: [0, 1, 65535],
  uint32: [0, 1, 2 ** 32 - 1],
  uint64: [0, 1, 2n ** 64n - 1n],
  float16: [-0.5, 1, 65504],
  float32: [-0.5, 1, 2 ** -126],
  float64: [-0.5, 0.1, 2 ** -1022],
  bfloat16: [-0.5, 1, 2 ** 127],
  float8_e5m2: [-0.5, 1, 57344],
  float8_e4m3fn: [-0.5, 1, 448],
  float8_e5m2fnuz: [-0.5, 1, 57344],
  float8_e4m3fnuz: [-0.5, 1, 240],
  float8_e8m0fnu: [0.5, 1, 2],
  complex32: [-0.5, 1, 2],
  complex64: [-0.5, 1, 2],
  complex128: [-0.5, 0.1, 2],
  bool: [true, false, true],
};

/** What Metal has no kernels for. */
const NOT_ON_MPS: readonly DType[] = [
  ...(['float64', 'complex128', 'complex32', 'uint16', 'uint32', 'uint64'] as const),
  ...DTYPES.filter((dtype) => dtype.startsWith('float8')),
];

export function tensorContract(device: string): void {
  const kind = device.replace(/:.*/, '');
  const make = (data: number[] | number[][], dtype: DType = 'float32'): Tensor => torch.tensor(data, { dtype, device });
  const leaf = (data: number[]): Tensor => torch.tensor(data, { device, requiresGrad: true });
  const isHere = (x: Tensor): boolean => x.device === device || x.device === `${device}:0`;

  describe(`tensors on ${device}`, () => {
    describe('are made', () => {
      it('from numbers, nested arrays and typed arrays', () => {
        const x = make([
          [1, 2, 3],
          [4, 5, 6],
        ]);
        expect(x).toMatchObject({ shape: [2, 3], ndim: 2, dtype: 'float32', requiresGrad: false, isLeaf: true });
        expect(isHere(x)).toBe(true);
        expect(x.numel()).toBe(6);
        expect(torch.tensor(Int32Array.of(7, 8), { device })).toMatchObject({ dtype: 'int32', shape: [2] });
        expect(torch.tensor(2.5, { device }).shape).toEqual([]);
      });

      it('by factories, which take dtype, device and requiresGrad', () => {
        const x = torch.zeros([2, 3], { device, dtype: 'bfloat16', requiresGrad: true });
        expect(x).toMatchObject({ shape: [2, 3], dtype: 'bfloat16', requiresGrad: true });
        expect(isHere(x)).toBe(true);
        expect(torch.full([2], 7, { device }).tolist()).toEqual([7, 7]);
        expect(torch.arange(1, 7, 2, { device }).tolist()).toEqual([1, 3, 5]);
        expect(torch.eye(2, { device }).tolist()).toEqual([
          [1, 0],
          [0, 1],
        ]);
        expect(x.newOnes([1]).dtype).toBe('bfloat16');
        expect(isHere(torch.onesLike(x))).toBe(true);
      });

      it('without elements', () => {
        const x = torch.zeros([0, 3], { device });
        expect(x.tolist()).toEqual([]);
        expect(x.sum().item()).toBe(0);
        expect(x.bytes().length).toBe(0);
      });
    });

    describe('compute', () => {
      it('arithmetic, with broadcasting', () => {
        const x = make([
          [1, 2],
          [3, 4],
        ]);
        const row = make([10, 20]);
        expect(x.add(row)).toBeCloseToTensor([
          [11, 22],
          [13, 24],
        ]);
        expect(x.sub(row, { alpha: 0.5 })).toBeCloseToTensor([
          [-4, -8],
          [-2, -6],
        ]);
        expect(x.mul(2).div(row)).toBeCloseToTensor([
          [0.2, 0.2],
          [0.6, 0.4],
        ]);
        expect(x.matmul(x)).toBeCloseToTensor([
          [7, 10],
          [15, 22],
        ]);
        expect(x.neg().abs().sqrt().pow(2)).toBeCloseToTensor(x);
      });

      it('the same as function and as method', () => {
        const x = make([0.5, -1]);
        expect(torch.tanh(x)).toBeCloseToTensor(x.tanh(), { rtol: 0, atol: 0 });
        expect(torch.add(x, 1)).toBeCloseToTensor(x.add(1), { rtol: 0, atol: 0 });
      });

      it('several results at once', () => {
        const [values, indices] = make([
          [1, 5, 3],
          [9, 2, 4],
        ]).max(1);
        expect(values.tolist()).toEqual([5, 9]);
        expect(indices.tolist()).toEqual([1, 0]);
        const parts = make([1, 2, 3]).split(2);
        expect(parts.map((part) => part.tolist())).toEqual([[1, 2], [3]]);
      });

      it('with options by name or in their place', () => {
        const x = make([
          [1, 2],
          [3, 4],
        ]);
        expect(x.sum(0, { keepdim: true }).tolist()).toEqual([[4, 6]]);
        expect(x.sum(0, true).tolist()).toEqual([[4, 6]]);
        expect(x.sum({ dtype: 'int64' }).item()).toBe(10);
        expect(x.sub(1, { alpha: 2 }).tolist()).toEqual([
          [-1, 0],
          [1, 2],
        ]);
      });

      it('in place, and return the same object', () => {
        const x = make([1, 2, 3]);
        expect(x.add_(1)).toBe(x);
        expect(x.mul_(make([2, 2, 2]))).toBe(x);
        expect(x.clamp_({ max: 6 })).toBe(x);
        expect(x.unsqueeze_(0)).toBe(x);
        expect(x.tolist()).toEqual([[4, 6, 6]]);
        expect(torch.relu_(x)).toBe(x);
        expect(x.zero_()).toBe(x);
      });

      it('into a tensor given as out', () => {
        const out = torch.empty([0], { device });
        expect(torch.add(make([1, 2]), 1, { out })).toBe(out);
        expect(out.tolist()).toEqual([2, 3]);
      });

      it('on views that share memory', () => {
        const x = make([
          [1, 2, 3],
          [4, 5, 6],
        ]);
        x.at(1, slice(1)).fill_(0);
        x.t().at(0).mul_(10);
        expect(x.tolist()).toEqual([
          [10, 2, 3],
          [40, 0, 0],
        ]);
        expect(x.t().stride()).toEqual([1, 3]);
        expect(x.t().isContiguous()).toBe(false);
        expect(x.t().contiguous().stride()).toEqual([2, 1]);
      });
    });

    describe('carry data', () => {
      const dtypes = kind === 'mps' ? DTYPES.filter((dtype) => !NOT_ON_MPS.includes(dtype)) : DTYPES;

      it.each(dtypes)('of %s in and out, bit for bit', (dtype) => {
        const values = SAMPLES[dtype];
        const x = torch.tensor([...values], { dtype, device });
        expect(x).toMatchObject({ dtype, shape: [3] });
        expect(isHere(x)).toBe(true);
        const expected = dtype.startsWith('complex') ? values.map((re) => ({ re, im: 0 })) : values;
        expect(x.tolist()).toEqual(expected);
        expect(x.elementSize()).toBe(dtypeBytes(dtype));
        expect(x.bytes().length).toBe(3 * dtypeBytes(dtype));

        const again = torch.fromBytes(x.bytes(), [3], dtype).to(device);
        expect(again.dtype).toBe(dtype);
        expect(again.bytes()).toEqual(x.bytes());
        const typed = torch.fromTypedArray(x.data(), [3], dtype);
        expect(typed.bytes()).toEqual(x.bytes());
      });

      it.each(dtypes)('of %s from float32 and back to it', (dtype) => {
        const ones = torch.ones([2], { device });
        const there = ones.to(dtype);
        expect(there.dtype).toBe(dtype);
        if (!dtype.startsWith('complex')) expect(there.toFloat32Array()).toEqual(Float32Array.of(1, 1));
      });

      it('of one element as a JavaScript value', () => {
        expect(make([2.5]).item()).toBe(2.5);
        expect(torch.tensor(true, { device }).item()).toBe(true);
        expect(torch.tensor(3n, { device }).item()).toBe(3);
        expect(torch.tensor(2n ** 60n + 1n, { device }).item()).toBe(2n ** 60n + 1n);
      });

      it('from strided views in row-major order', () => {
        const x = make([
          [1, 2, 3],
          [4, 5, 6],
        ]);
        expect([...x.t().toFloat32Array()]).toEqual([1, 4, 2, 5, 3, 6]);
        expect([...x.at(slice(), slice(0, null, 2)).toFloat32Array()]).toEqual([1, 3, 4, 6]);
      });

      it('to another dtype or device only where that changes something', () => {
        const x = make([1, 2]);
        expect(x.to('float32')).toBe(x);
        expect(x.to(device)).toBe(x);
        expect(x.to({ dtype: 'float32', copy: true })).not.toBe(x);
        expect(x.half().dtype).toBe('float16');
        expect(x.long().tolist()).toEqual([1, 2]);
        expect(x.to(torch.zeros([1], { dtype: 'int32', device })).dtype).toBe('int32');
        expect(x.cpu().device).toBe('cpu');
        expect(isHere(x.cpu().to(device))).toBe(true);
      });
    });

    describe('differentiate', () => {
      it('backward adds to the gradient of every leaf', () => {
        const x = leaf([1, 2]);
        expect(x.grad).toBeNull();
        x.mul(x).sum().backward();
        expect(x.grad?.tolist()).toEqual([2, 4]);
        x.mul(3).sum().backward();
        expect(x.grad?.tolist()).toEqual([5, 7]);
        x.grad = null;
        expect(x.grad).toBeNull();
      });

      it('a tensor of several elements needs a gradient of its own', () => {
        const x = leaf([1, 2]);
        x.mul(2).backward(make([1, 10]));
        expect(x.grad?.tolist()).toEqual([2, 20]);
        expect(errorOf(() => x.mul(2).backward()).message).toMatch(/scalar outputs/);
      });

      it('a graph serves once unless it is retained', () => {
        const x = leaf([3]);
        const loss = x.mul(x).sum();
        loss.backward(null, { retainGraph: true });
        loss.backward();
        expect(x.grad?.item()).toBe(12);
        expect(errorOf(() => loss.backward()).message).toMatch(/second time/);
      });

      it('grad returns gradients and leaves .grad alone', () => {
        const [x, y, unused] = [leaf([2]), leaf([5]), leaf([1])];
        const z = x.mul(y);
        expect(torch.grad([z], [x, y]).map((gradient) => gradient.item())).toEqual([5, 2]);
        expect(x.grad).toBeNull();
        expect(torch.grad([x.mul(2)], [unused], { allowUnused: true })).toEqual([null]);
      });

      it('to the second derivative', () => {
        const x = leaf([2]);
        const [first] = torch.grad([x.pow(3)], [x], { createGraph: true });
        const [second] = torch.grad([first as Tensor], [x]);
        expect(second?.item()).toBe(12);
      });

      it('detach leaves the graph, requiresGrad_ enters it', () => {
        const x = leaf([1]);
        expect(x.mul(2)).toMatchObject({ requiresGrad: true, isLeaf: false });
        expect(x.mul(2).detach()).toMatchObject({ requiresGrad: false, isLeaf: true });
        const y = make([1]);
        expect(y.requiresGrad_()).toBe(y);
        expect(y.requiresGrad).toBe(true);
        expect(y.requiresGrad_(false).requiresGrad).toBe(false);
      });
    });

    describe('modes', () => {
      it('noGrad and enableGrad nest, and end with their function', () => {
        const x = leaf([1]);
        const [outer, inner] = torch.noGrad(() => [
          x.mul(2).requiresGrad,
          torch.enableGrad(() => x.mul(2).requiresGrad),
        ]);
        expect([outer, inner]).toEqual([false, true]);
        expect(() =>
          torch.noGrad(() => {
            throw new RangeError('inside');
          }),
        ).toThrow(RangeError);
        expect(torch.isGradEnabled()).toBe(true);
      });

      it('what inference mode makes takes no part in autograd', () => {
        const x = leaf([1]);
        const y = torch.inferenceMode(() => x.mul(2));
        expect(y.requiresGrad).toBe(false);
        expect(errorOf(() => x.mul(y)).message).toMatch(/Inference tensors cannot be saved for backward/);
      });

      it('autocast computes products in the lower precision, and ends with its function', () => {
        const x = make([
          [1, 2],
          [3, 4],
        ]);
        const low = torch.autocast({ device: kind, dtype: 'bfloat16' }, () => {
          const off = torch.autocast({ device: kind, enabled: false }, () => x.matmul(x).dtype);
          return [x.matmul(x).dtype, off];
        });
        expect(low).toEqual(['bfloat16', 'float32']);
        expect(x.matmul(x).dtype).toBe('float32');
      });
    });

    describe('random numbers', () => {
      it('repeat under the same seed', () => {
        torch.manualSeed(5);
        const first = torch.randn([4], { device });
        torch.manualSeed(5);
        expect(torch.randn([4], { device })).toBeCloseToTensor(first, { rtol: 0, atol: 0 });
      });

      it('of a generator neither see nor move the default one', () => {
        torch.manualSeed(1);
        const undisturbed = torch.rand([3], { device }).tolist();
        torch.manualSeed(1);
        const generator = new torch.Generator({ seed: 7, device });
        const own = torch.rand([3], { generator, device }).tolist();
        expect(torch.rand([3], { device }).tolist()).toEqual(undisturbed);
        expect(torch.rand([3], { generator: new torch.Generator({ seed: 7, device }), device }).tolist()).toEqual(own);
      });

      it('go on from a saved state', () => {
        const generator = new torch.Generator({ seed: 3, device });
        torch.rand([5], { generator, device });
        const state = generator.getState();
        const expected = torch.rand([5], { generator, device }).tolist();
        expect(torch.rand([5], { generator, device }).tolist()).not.toEqual(expected);
        generator.setState(state);
        expect(torch.rand([5], { generator, device }).tolist()).toEqual(expected);

        const whole = torch.getRngState(device);
        const next = torch.rand([5], { device }).tolist();
        torch.setRngState(whole, device);
        expect(torch.rand([5], { device }).tolist()).toEqual(next);
      });
    });

    describe('the device', () => {
      it('is listed, and can be waited for', () => {
        expect(torch.isAvailable(kind)).toBe(true);
        expect(torch.isAvailable('abacus')).toBe(false);
        expect(torch.devices().some((name) => name.startsWith(kind))).toBe(true);
        torch.matmul(torch.ones([64, 64], { device }), torch.ones([64, 64], { device }));
        expect(torch.synchronize(device)).toBeUndefined();
      });

      it('says what its allocator holds, where it has one', () => {
        using _ = torch.ones([1024], { device });
        const report = torch.deviceMemory(device);
        if (device === 'cpu') expect(report).toBeNull();
        else expect(report?.allocated).toBeGreaterThanOrEqual(4096);
      });

      it('gives memory back at the end of a scope', () => {
        const before = torch.memory();
        torch.scope(() => {
          torch.ones([1024], { device }).add(1);
          const inside = torch.memory();
          expect(inside.tensors - before.tensors).toBe(2);
          expect(inside.bytes - before.bytes).toBe(2 * 4096);
        });
        expect(torch.memory()).toEqual(before);
      });
    });

    describe('errors', () => {
      it('name the operator, each argument and the line of the call', () => {
        const [x, y] = [make([1, 2, 3]), make([1, 2])];
        const message = messageOf(() => x.add(y));
        const place = x.device;
        expect(message).toBe(
          [
            'aten::add.Tensor: The size of tensor a (3) must match the size of tensor b (2) at non-singleton dimension 0',
            `  self: float32 [3] on ${place}`,
            `  other: float32 [2] on ${place}`,
            '  alpha: 1',
            '  called at tensor.ts:<line>',
          ].join('\n'),
        );
        expect(errorOf(() => x.add(y)).code).toBe('OPERATOR_FAILED');
      });

      it('tell a freed tensor from a wrong argument', () => {
        const x = make([1]);
        x.dispose();
        expect(errorOf(() => x.add(1)).code).toBe('STALE_TENSOR');
        expect(errorOf(() => make([1]).add('1' as never)).code).toBe('OPERATOR_ARGUMENT');
      });

      it('refuse an unknown device before anything is made', () => {
        const before = torch.memory().tensors;
        expect(errorOf(() => torch.zeros([1], { device: 'abacus' })).message).toMatch(/unknown device 'abacus'/);
        expect(torch.memory().tensors).toBe(before);
      });
    });
  });
}
