/** Every case of scripts/golden/printing.py: the text must equal what Python's PyTorch prints. */
import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { torch } from '../../src/tensor/index.ts';
import { decodeTensor, type EncodedTensor, loadCases } from './load.ts';

interface PrintingCase {
  name: string;
  tensor: EncodedTensor;
  requiresGrad?: true;
  repr: string;
}

test.each(loadCases<PrintingCase>('printing'))('$name', ({ tensor: encoded, requiresGrad = false, repr }) => {
  torch.scope(() => {
    const tensor = decodeTensor(encoded).requiresGrad_(requiresGrad);
    expect(String(tensor)).toBe(repr);
    expect(inspect(tensor)).toBe(repr);
  });
});

describe('what Python cannot be asked for', () => {
  test('a tensor that requires a gradient says so, leaf or not', () => {
    torch.scope(() => {
      const leaf = torch.tensor([1, 2], { requiresGrad: true });
      expect(`${leaf.mul(2)}`).toBe('tensor([2., 4.], requires_grad=True)');
      expect(`${leaf.detach()}`).toBe('tensor([1., 2.])');
    });
  });

  test('a freed tensor prints', () => {
    const tensor = torch.ones([2]);
    tensor.dispose();
    expect(`${tensor}`).toBe('tensor(<freed>)');
  });

  test('a meta tensor has no elements', () => {
    torch.scope(() => {
      const tensor = torch.empty([3], { device: 'meta', dtype: 'bfloat16' });
      // As repr(torch.empty(3, device='meta', dtype=torch.bfloat16)).
      expect(`${tensor}`).toBe("tensor(..., device='meta', size=(3,), dtype=torch.bfloat16)");
    });
  });

  test('elements that cannot be read do not make printing fail', () => {
    torch.scope(() => expect(`${torch.eye(2).toSparse()}`).toMatch(/^tensor\(<unreadable: .*>\)$/));
  });

  test('conjugated and negated views print their values', () => {
    torch.scope(() => {
      const z = torch.viewAsComplex(torch.tensor([[1, 2]]));
      expect(`${z.conj()}`).toBe('tensor([1.-2.j])');
      expect(`${z.conj().imag()}`).toBe('tensor([-2.])');
    });
  });
});

describe('a big tensor', () => {
  test('costs nothing to print but its edges, and leaves nothing behind', () => {
    torch.scope(() => {
      const big = torch.zeros([1]).expand([100_000, 100_000]);
      const before = torch.memory();
      const start = performance.now();
      expect(String(big).split('\n')).toHaveLength(7);
      expect(performance.now() - start).toBeLessThan(1000);
      expect(torch.memory()).toEqual(before);
    });
  });

  test('prints while autograd records, without recording', () => {
    torch.scope(() => {
      const big = torch.zeros([2000], { requiresGrad: true });
      expect(`${big}`).toBe('tensor([0., 0., 0.,  ..., 0., 0., 0.], requires_grad=True)');
      expect(big.grad).toBeNull();
    });
  });
});
