/** From what a user calls a model to the model itself, with its tokenizer: for all commands and trainers. */

export { chooseDtype, type DtypeSituation, type ModelUse } from './dtype.ts';
export { type OpenOptions, openPretrained, type Pretrained } from './open.ts';
export { choosePad } from './pad.ts';
export { companionFiles, type Saveable, savePretrained, savePretrainedGguf } from './save.ts';
