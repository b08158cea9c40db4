import { mkdir, readdir, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openSafetensors } from './reader.ts';
import { fileOf, nudgeError, rawTensor, temporaryDirectory } from './testing.ts';
import { writeSafetensors } from './write.ts';

const INDEX = 'model.safetensors.index.json';

describe('openSafetensors', () => {
  it('reads any tensor of a file, in any order, also side by side', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'model.safetensors');
    // Larger than one piece of a read, and not a multiple of it.
    const large = rawTensor('U8', [20_000_003], 20_000_003);
    const small = rawTensor('F32', [2], 8, 1);
    await writeSafetensors(
      path,
      [
        ['large', large],
        ['small', small],
      ],
      { metadata: { format: 'pt' } },
    );
    await using model = await openSafetensors(path);
    expect(model.names).toEqual(['small', 'large']);
    expect(model.metadata.get('format')).toBe('pt');
    expect(model.info('large')).toMatchObject({ dtype: 'U8', shape: [20_000_003] });
    const [first, second, again] = await Promise.all([model.read('large'), model.read('small'), model.read('large')]);
    expect(Buffer.compare(first, large.bytes as Uint8Array)).toBe(0);
    expect(Buffer.compare(again, first)).toBe(0);
    expect(again.buffer).not.toBe(first.buffer);
    expect(Buffer.from(second)).toEqual(Buffer.from(small.bytes as Uint8Array));
  });

  it('says which tensors there are when one is not', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'model.safetensors');
    await writeSafetensors(path, [['norm.weight', rawTensor('U8', [1], 1)]]);
    await using model = await openSafetensors(path);
    expect(model.has('norm.bias')).toBe(false);
    const error = await nudgeError(model.read('norm.bias'));
    expect(error.code).toBe('BAD_ARGUMENT');
    expect(error.message).toMatch(/one of its 1 tensors: "norm\.weight"/);
    expect(() => model.info('__proto__')).toThrow(/no such tensor/);
  });

  it('can be closed twice, and not be read after', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'model.safetensors');
    await writeSafetensors(path, [['a', rawTensor('U8', [1_000_000], 1_000_000)]]);
    const model = await openSafetensors(path);
    const pending = model.read('a');
    await model.close();
    await model.close();
    expect((await pending).length).toBe(1_000_000);
    expect((await nudgeError(model.read('a'))).message).toMatch(/is closed/);
  });

  it('notices a file that is cut while it is open', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'model.safetensors');
    await writeSafetensors(path, [['a', rawTensor('U8', [1000], 1000)]]);
    await using model = await openSafetensors(path);
    await truncate(path, 200);
    const error = await nudgeError(model.read('a'));
    expect(error.code).toBe('BAD_FILE');
    expect(error.message).toMatch(/became shorter while it was read/);
  });

  it('reads a sparse file of 64 GiB without reserving it', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'huge.safetensors');
    const size = 2 ** 36;
    const header = fileOf(
      `{"a":{"dtype":"U8","shape":[${size - 1}],"data_offsets":[0,${size - 1}]},"b":{"dtype":"BOOL","shape":[1],"data_offsets":[${size - 1},${size}]}}`,
    );
    await writeFile(path, header);
    await truncate(path, header.length + size);
    const before = process.memoryUsage().rss;
    await using model = await openSafetensors(path);
    expect(model.info('b').end).toBe(header.length + size);
    expect(await model.read('b')).toHaveLength(1);
    expect(process.memoryUsage().rss - before).toBeLessThan(50e6);
  });

  it('leaves no file open when a file or its header is refused', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'model.safetensors');
    await writeFile(path, fileOf('{"a":1}'));
    await mkdir(join(directory.path, 'folder/model.safetensors'), { recursive: true });
    const openFiles = async () => (await readdir('/proc/self/fd').catch(() => [])).length;
    const before = await openFiles();
    for (let i = 0; i < 20; i++) {
      await nudgeError(openSafetensors(path));
      await nudgeError(openSafetensors(join(directory.path, 'folder')));
    }
    expect(await openFiles()).toBeLessThanOrEqual(before);
  });
});

describe('what is not there or no file', () => {
  it.each([
    ['missing.safetensors', 'IO_FAILED', /Could not open.*ENOENT.*Check the path/s],
    ['file/model.safetensors', 'IO_FAILED', /ENOTDIR.*one of its parts is a file/s],
    ['empty', 'BAD_FILE', /expected: model\.safetensors or model\.safetensors\.index\.json.*received: neither/s],
    ['adapter', 'BAD_FILE', /received: "adapter_model\.safetensors".*Pass the path of the \.safetensors file itself/s],
    ['pickle', 'BAD_FILE', /received: "pytorch_model\.bin".*download the model again with its safetensors files/s],
    ['directory.safetensors/model.safetensors', 'BAD_FILE', /a regular file.*received: a directory/s],
  ])('%s', async (path, code, message) => {
    await using directory = await temporaryDirectory();
    const at = (name: string) => join(directory.path, name);
    for (const name of ['empty', 'adapter', 'pickle', 'directory.safetensors/model.safetensors'])
      await mkdir(at(name), { recursive: true });
    for (const name of ['file', 'adapter/adapter_model.safetensors', 'pickle/pytorch_model.bin'])
      await writeFile(at(name), '');
    // The last case is a directory where the file should be.
    const target = path.startsWith('directory') ? at('directory.safetensors') : at(path);
    const error = await nudgeError(openSafetensors(target));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
  });
});

describe('a sharded model', () => {
  const shard = (name: string, text: string) =>
    fileOf(
      `{"__metadata__":{"format":"pt","in":"${text}"},"${name}":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`,
      Uint8Array.of(7),
    );
  async function model(index: string | Uint8Array) {
    const directory = await temporaryDirectory();
    await writeFile(join(directory.path, 'one.safetensors'), shard('a', 'one'));
    await writeFile(join(directory.path, 'two.safetensors'), shard('b', 'two'));
    await writeFile(join(directory.path, INDEX), index);
    return directory;
  }
  const map = (weightMap: string) => `{"metadata":{"total_size":2.0},"weight_map":${weightMap}}`;
  const good = map('{"a":"one.safetensors","b":"two.safetensors"}');

  it('is opened by its directory or its index', async () => {
    await using directory = await model(good);
    for (const path of [directory.path, join(directory.path, INDEX)]) {
      await using opened = await openSafetensors(path);
      expect(opened.names).toEqual(['a', 'b']);
      expect(opened.metadata).toEqual(
        new Map([
          ['format', 'pt'],
          ['in', 'one'],
        ]),
      );
      expect(await opened.read('b')).toEqual(Buffer.of(7));
    }
  });

  it('may live in a directory of symbolic links, as in the cache of Hugging Face', async () => {
    await using blobs = await model(good);
    await using snapshot = await temporaryDirectory();
    for (const file of ['one.safetensors', 'two.safetensors', INDEX])
      await symlink(join(blobs.path, file), join(snapshot.path, file));
    await using opened = await openSafetensors(snapshot.path);
    expect(opened.names).toEqual(['a', 'b']);
  });

  it('gives only the tensors of the index; a single file beside the index wins', async () => {
    await using directory = await model(map('{"b":"two.safetensors"}'));
    await using some = await openSafetensors(directory.path);
    expect(some.names).toEqual(['b']);
    await writeFile(join(directory.path, 'model.safetensors'), shard('whole', 'single'));
    await using single = await openSafetensors(directory.path);
    expect(single.names).toEqual(['whole']);
  });

  it.each([
    ['not JSON', '{', /Expected a key/],
    ['not UTF-8', Uint8Array.of(0x7b, 0xff, 0x7d), /not UTF-8/],
    ['no object', '[]', /the object "weight_map"/],
    ['no weight_map', '{"metadata":{}}', /the object "weight_map"/],
    ['a weight_map that is no object', map('[]'), /the object "weight_map"/],
    ['a tensor twice', map('{"a":"one.safetensors","a":"two.safetensors"}'), /The key "a" occurs twice/],
    ['a shard that is no string', map('{"a":1}'), /tensor "a".*something else than a string/s],
    [
      'a shard in the parent directory',
      map('{"a":"../one.safetensors"}'),
      /without a directory.*"\.\.\/one\.safetensors"/s,
    ],
    ['a shard in a directory', map('{"a":"sub/one.safetensors"}'), /without a directory/],
    ['a shard with an absolute path', map('{"a":"/etc/one.safetensors"}'), /without a directory/],
    ['a shard with a Windows path', map('{"a":"..\\\\one.safetensors"}'), /without a directory/],
    ['a shard with a drive', map('{"a":"C:one.safetensors"}'), /without a directory/],
    ['a shard with a zero byte', map('{"a":"one\\u0000.safetensors"}'), /without a directory/],
    ['a shard that is another kind of file', map('{"a":"pytorch_model.bin"}'), /a \.safetensors file name/],
    [
      'a missing shard',
      map('{"a":"one.safetensors","b":"gone.safetensors"}'),
      /A shard of this model is missing.*"gone\.safetensors"/s,
    ],
    [
      'a tensor that its shard lacks',
      map('{"a":"two.safetensors"}'),
      /tensor "a".*two\.safetensors.*a shard without it/s,
    ],
    ['a tensor of the prototype', map('{"__proto__":"one.safetensors"}'), /tensor "__proto__".*a shard without it/s],
  ])('is refused with an index with %s', async (_, index, message) => {
    await using directory = await model(index);
    const error = await nudgeError(openSafetensors(directory.path));
    expect(error.code).toBe('BAD_FILE');
    expect(error.path).toContain(INDEX);
    expect(error.message).toMatch(message);
  });

  it('is refused with a damaged shard, naming the shard', async () => {
    await using directory = await model(good);
    await truncate(join(directory.path, 'two.safetensors'), 60);
    const error = await nudgeError(openSafetensors(directory.path));
    expect(error.path).toContain('two.safetensors');
  });
});
