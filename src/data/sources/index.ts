/** Datasets that need more than a mapping of columns; docs/data.md says how the others are read. */

export { readFineGrainedQa } from './fineGrainedQa.ts';
export { gsm8kAnswer } from './gsm8k.ts';
export { readOasstTrees } from './oasst.ts';
export { readUkpConvArg } from './ukpConvArg.ts';
export { readXsTest } from './xsTest.ts';
