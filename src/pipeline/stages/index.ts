/** The stages of a run, in their order. */
import type { Stage } from '../stage.ts';
import { evaluate } from './evaluate.ts';
import { exported } from './export.ts';
import { label } from './label.ts';
import { ppo } from './ppo.ts';
import { reward } from './reward.ts';
import { sample } from './sample.ts';
import { sft } from './sft.ts';

export const STAGES: readonly Stage[] = [sft, sample, label, reward, ppo, evaluate, exported];
