/** The tone of an answer, by VADER (Hutto & Gilbert 2014), made proof against its cheap tricks. */
import vader from 'vader-sentiment';
import { sentencesOf } from './words.ts';

const { SentimentIntensityAnalyzer } = vader;

/**
 * The mean compound of the sentences: -1 to 1. VADER's compound of a whole text grows with its length, and with capitals,
 * exclamation marks and smileys; here none of these helps, nor does a heap of praise, whose share of the words is too high.
 */
export function meanCompound(text: string): number {
  const sentences = sentencesOf(text.toLowerCase().replaceAll(/[^\p{L}\p{N}\s.,;?!'’…-]/gu, ' ')).slice(0, 100);
  if (sentences.length === 0) return 0;
  const compounds = sentences.map((sentence) => {
    const { compound, pos } = SentimentIntensityAnalyzer.polarity_scores(sentence.replaceAll(/[!?.…]+/g, ' '));
    return compound > 0 ? compound * clamp((0.85 - pos) / 0.25) : compound;
  });
  return compounds.reduce((sum, value) => sum + value, 0) / compounds.length;
}

/** 0 to 1: for a positive tone from -0.25 (hostile) to 0.5 (warm) and no further; for a neutral one, how near to 0. */
export function sentiment(text: string, tone: 'positive' | 'neutral'): number {
  const compound = meanCompound(text);
  return tone === 'positive' ? clamp((compound + 0.25) / 0.75) : clamp((0.8 - Math.abs(compound)) / 0.65);
}

function clamp(value: number): number {
  return Math.min(1, Math.max(0, value));
}
