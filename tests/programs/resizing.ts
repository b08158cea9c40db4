/** Uses tensors whose resizing failed half-way. Before this was guarded, each use read or wrote beyond their memory. */
import { torch } from '../../src/tensor/index.ts';

const attempt = (fn: () => unknown): string => {
  try {
    fn();
    return 'done';
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
};

const report: unknown[] = [];
for (const [name, fail] of Object.entries({
  'no memory': (x: typeof torch.Tensor.prototype) => x.resize_([2 ** 45]),
  'mapped, resize_': (x: typeof torch.Tensor.prototype) => {
    x.map();
    x.resize_([2 ** 26]);
  },
  'mapped, resizeAs_': (x: typeof torch.Tensor.prototype) => {
    x.map();
    x.resizeAs_(torch.ones([2 ** 20]));
  },
  'mapped, out': (x: typeof torch.Tensor.prototype) => {
    x.map();
    torch.add(torch.ones([2 ** 20]), 1, { out: x });
  },
  'mapped, torch.call': (x: typeof torch.Tensor.prototype) => {
    x.map();
    torch.call('aten::resize_', x, [2 ** 26]);
  },
})) {
  const x = torch.ones([4]);
  const view = x.view([2, 2]);
  const outcome = attempt(() => fail(x));
  const bytes = x.numel() * 4;
  x.fill_(7);
  const sum = x.sum().item();
  x.tolist();
  report.push({ name, outcome, fits: bytes <= 16, sum: sum / 7 === x.numel(), view: view.tolist() });
}
console.log(JSON.stringify(report));
