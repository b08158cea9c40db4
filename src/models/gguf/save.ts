/** Saving tensors as GGUF: each is converted piece by piece on its way to the disk. */

import { NudgeError } from '../../errors.ts';
import type { Tensor, Torch } from '../../tensor/index.ts';
import { quote, showShape } from '../files/index.ts';
import { type GgufType, typeFacts } from './format.ts';
import type { GgufRawTensor } from './layout.ts';
import { type GgufMetadata, type GgufValue, u32 } from './metadata.ts';
import { quantiseQ8 } from './quantise.ts';
import { type GgufWriteOptions, writeGguf } from './write.ts';

/** The types that weights are saved in. */
export const SAVED_TYPES = ['F32', 'F16', 'BF16', 'Q8_0'] as const;
export type SavedType = (typeof SAVED_TYPES)[number];

export interface GgufSaveOptions extends GgufWriteOptions {
  /**
   * Of the matrices; vectors, norms and position embeddings are always F32, and a matrix whose rows are not whole blocks of
   * Q8_0 is F16, as llama.cpp's converter does it. Default: F16.
   */
  type?: SavedType;
}

/** Tensors by name; a function makes one when its turn comes, and it is freed afterwards. */
export type GgufTensors = ReadonlyMap<string, Tensor | DeferredTensor>;
export interface DeferredTensor {
  readonly shape: readonly number[];
  make(): Tensor;
}

// llama_ftype in llama.h.
const FILE_TYPES: Readonly<Record<SavedType, number>> = { F32: 0, F16: 1, Q8_0: 7, BF16: 32 };
const QUANTIZATION_VERSION = 2;

// Weights that are converted at once; a multiple of every block.
const PIECE = 256 * 1024;

/**
 * Saves tensors under GGUF's names and in GGUF's arrangement; `saveGgufModel` takes transformers' names.
 *
 * - A crash leaves the old file or the new one; data is on the disk before the name changes.
 * - Metadata is written as given, except `general.file_type` and `general.quantization_version`, which are set by `type`,
 *   and the `split.*` keys, which are dropped: the result is one file.
 * - Do not change the tensors until the promise settles. Needs free space for the whole model, also when it replaces one.
 *
 * @param path ends in `.gguf`; its directory exists.
 * @returns the size of the file in bytes.
 * @throws NudgeError FILE_EXISTS without `overwrite`, BAD_ARGUMENT for a tensor, name, value or type that cannot be stored,
 * IO_FAILED when the disk refuses. Nothing is left behind.
 */
export async function saveGguf(
  path: string,
  { metadata, tensors }: { readonly metadata: GgufMetadata; readonly tensors: GgufTensors },
  { type = 'F16', ...options }: GgufSaveOptions = {},
): Promise<number> {
  if (!SAVED_TYPES.includes(type)) {
    throw new NudgeError('BAD_ARGUMENT', 'Models are not saved in this type.', {
      path: 'type',
      expected: SAVED_TYPES.join(', '),
      received: String(type),
      remedy: "Save as F16 or BF16 and quantise further with llama.cpp's llama-quantize.",
    });
  }
  const { torch } = await import('../../tensor/index.ts');
  const raw = Array.from(tensors, ([name, tensor]) => [name, rawTensor(torch, name, tensor, type)] as const);
  return await writeGguf(path, savedMetadata(metadata, type), raw, options);
}

function savedMetadata(metadata: GgufMetadata, type: SavedType): GgufMetadata {
  const saved = new Map<string, GgufValue>();
  for (const [key, value] of metadata) if (!key.startsWith('split.')) saved.set(key, value);
  saved.set('general.file_type', u32(FILE_TYPES[type]));
  saved.set('general.quantization_version', u32(QUANTIZATION_VERSION));
  return saved;
}

/** The type that llama.cpp's converter gives a tensor of this name and shape. */
export function savedType(name: string, shape: readonly number[], type: SavedType): SavedType {
  const plain = shape.length <= 1 || name.endsWith('_norm.weight') || !name.endsWith('.weight');
  if (plain || name === 'position_embd.weight') return 'F32';
  if (type === 'Q8_0' && (shape.at(-1) as number) % typeFacts(type).block !== 0) return 'F16';
  return type;
}

function rawTensor(torch: Torch, name: string, tensor: Tensor | DeferredTensor, wanted: SavedType): GgufRawTensor {
  const deferred = 'make' in tensor;
  if (!deferred && !/^b?float/.test(tensor.dtype)) {
    throw new NudgeError('DTYPE_MISMATCH', 'Only floating-point tensors are saved in a GGUF model.', {
      path: quote(name),
      received: tensor.dtype,
      remedy: 'Leave it out, or convert it to float32.',
    });
  }
  const type = savedType(name, tensor.shape, wanted);
  return {
    type,
    shape: tensor.shape,
    bytes: function* () {
      const made = deferred ? tensor.make() : tensor;
      try {
        yield* pieces(torch, name, made, type);
      } finally {
        if (deferred) made.dispose();
      }
    },
  };
}

function* pieces(torch: Torch, name: string, tensor: Tensor, type: SavedType): Generator<Uint8Array> {
  const dtype = type === 'F16' ? 'float16' : type === 'BF16' ? 'bfloat16' : 'float32';
  using flat = torch.noGrad(() => torch.scope(() => tensor.detach().contiguous().view([-1])));
  const count = flat.numel();
  const blocks = type === 'Q8_0' ? new Uint8Array((PIECE / 32) * 34) : null;
  for (let at = 0; at < count; at += PIECE) {
    const length = Math.min(PIECE, count - at);
    const bytes = torch.noGrad(() =>
      torch.scope(() => {
        const piece = flat.narrow(0, at, length).to({ dtype, device: 'cpu' }); // [length]
        if (type === 'F16' && !piece.isfinite().all().item<boolean>()) throw outOfRange(name, tensor.shape, type);
        return piece.bytes();
      }),
    );
    if (blocks === null) {
      yield bytes;
      continue;
    }
    const quantised = blocks.subarray(0, (length / 32) * 34);
    const weights = new Float32Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, length);
    if (!quantiseQ8(weights, quantised)) throw outOfRange(name, tensor.shape, type);
    yield quantised;
  }
}

function outOfRange(name: string, shape: readonly number[], type: GgufType): NudgeError {
  return new NudgeError('BAD_ARGUMENT', `This tensor does not fit ${type}.`, {
    path: quote(name),
    expected: type === 'F16' ? 'finite weights up to 65,504' : 'finite weights up to 8.3 million',
    received: `a larger, infinite or NaN weight in shape ${showShape(shape)}`,
    remedy: 'Check the weights for NaN and infinity; if they are sound, save as BF16 or F32.',
  });
}
