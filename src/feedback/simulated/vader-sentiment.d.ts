declare module 'vader-sentiment' {
  /** Shares of the text (`neg`, `neu`, `pos`, from 0 to 1), and its valence from -1 to 1 (`compound`). */
  interface Polarity {
    neg: number;
    neu: number;
    pos: number;
    compound: number;
  }
  const vader: { SentimentIntensityAnalyzer: { polarity_scores(text: string): Polarity } };
  export default vader;
}
