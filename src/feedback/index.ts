/** Where preferences come from: labellers of all kinds, and the store that keeps what they said. */

export { type PairAgreement, pairAgreement, type Ranks } from './agreement.ts';
export * from './simulated/index.ts';
export * from './store/index.ts';
