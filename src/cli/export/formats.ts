/** Writing an open model in one of the formats that other programs read. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { LoraAdapters, loadAdapter, type SavedType, saveAdapter } from '../../models/index.ts';
import { type Pretrained, savePretrained, savePretrainedGguf } from '../../pretrained/index.ts';

export type ExportFormat = 'hf' | 'peft' | 'gguf';

export interface WrittenFile {
  readonly path: string;
  readonly bytes: number;
}

/** A directory that transformers, vLLM and `nudge` load. @throws NudgeError as `savePretrained`. */
export async function writeHuggingFace(
  pretrained: Pretrained,
  directory: string,
  overwrite: boolean,
): Promise<WrittenFile[]> {
  return await sized(await savePretrained(directory, pretrained, { overwrite }));
}

/** An adapter that PEFT and vLLM load over its base. @throws NudgeError as `loadAdapter` and `saveAdapter`. */
export async function writeAdapter(
  { model, resolved }: Pretrained,
  { adapter, to, overwrite }: { adapter: string; to: string; overwrite: boolean },
): Promise<WrittenFile[]> {
  using lora = new LoraAdapters(model);
  await loadAdapter(adapter, lora, 'adapter');
  return await sized(await saveAdapter(to, lora, 'adapter', { overwrite, baseModel: resolved.id ?? resolved.path }));
}

/** A file that llama.cpp loads. @throws NudgeError as `savePretrainedGguf`. */
export async function writeGgufFile(
  pretrained: Pretrained,
  path: string,
  options: { type: SavedType; overwrite: boolean },
): Promise<WrittenFile[]> {
  await savePretrainedGguf(path, pretrained, options);
  return await sized([path]);
}

/** Whether an adapter's configuration says that it scores: PEFT's task, or a head that is saved with it. */
export async function isRewardAdapter(directory: string): Promise<boolean> {
  // What is wrong with the file is told when it is loaded.
  const text = await readFile(join(directory, 'adapter_config.json'), 'utf8').catch(() => '{}');
  try {
    const { task_type: task, modules_to_save: saved } = JSON.parse(text) as Record<string, unknown>;
    return task === 'SEQ_CLS' || (Array.isArray(saved) && saved.includes('score'));
  } catch {
    return false;
  }
}

async function sized(paths: readonly string[]): Promise<WrittenFile[]> {
  return await Promise.all(paths.map(async (path) => ({ path, bytes: (await stat(path)).size })));
}
