"""Statistics as Python's packages compute them.

    pip install scipy==1.17.1 statsmodels==0.15.0 krippendorff==0.9.0 scikit-learn==1.9.1 nltk==3.10.4
    python scripts/golden/statistics_values.py
"""

import json
from itertools import product
from pathlib import Path
from typing import Any

import krippendorff
import numpy as np
import statsmodels.api as sm
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from scipy import stats
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import fleiss_kappa
from statsmodels.stats.proportion import proportion_confint

OUT = Path(__file__).resolve().parents[2] / "tests" / "golden" / "data" / "statistics.json"
Json = dict[str, Any]


def wilson() -> list[Json]:
    cases = [(60, 100, 0.95), (0, 7, 0.95), (7, 7, 0.95), (1, 3, 0.9), (481, 1000, 0.99), (12.5, 30, 0.95)]
    return [
        {"k": k, "n": n, "confidence": confidence, "interval": list(map(float, interval))}
        for k, n, confidence in cases
        for interval in [proportion_confint(k, n, alpha=1 - confidence, method="wilson")]
    ]


def kendall(random: np.random.Generator) -> list[Json]:
    pairs = [(random.integers(0, top, n), random.integers(0, top, n)) for n, top in ((4, 9), (9, 4), (60, 5), (60, 50))]
    return [{"a": a.tolist(), "b": b.tolist(), "tau": float(stats.kendalltau(a, b).statistic)} for a, b in pairs]


def alpha(random: np.random.Generator) -> list[Json]:
    tables = []
    for units, labellers, values in ((8, 2, 2), (30, 4, 5), (50, 3, 7)):
        truth = random.integers(0, values, units)
        table = np.clip(truth[:, None] + random.integers(-1, 2, (units, labellers)), 0, values - 1).astype(float)
        table[random.random(table.shape) < 0.25] = np.nan
        tables.append(table)
    return [
        {
            "ratings": [[None if np.isnan(x) else x for x in row] for row in table.tolist()],
            "level": level,
            "alpha": float(krippendorff.alpha(reliability_data=table.T, level_of_measurement=level)),
        }
        for table, level in product(tables, ("nominal", "ordinal", "interval"))
    ]


def kappas(random: np.random.Generator) -> Json:
    a = random.integers(1, 5, 40)
    b = np.clip(a + random.integers(-1, 2, 40), 1, 4)
    ratings = np.clip(random.integers(0, 4, 25)[:, None] + random.integers(0, 2, (25, 6)), 0, 4)
    counts = np.stack([(ratings == value).sum(axis=1) for value in range(5)], axis=1)
    return {
        "a": a.tolist(),
        "b": b.tolist(),
        "cohen": {w or "none": float(cohen_kappa_score(a, b, weights=w)) for w in (None, "linear", "quadratic")},
        "ratings": ratings.tolist(),
        "fleiss": float(fleiss_kappa(counts)),
    }


def logistic(random: np.random.Generator) -> Json:
    rows = np.column_stack([np.ones(60), random.normal(size=60), random.normal(size=60) * 3])
    outcomes = random.choice([0, 0.5, 1], size=60, p=[0.3, 0.2, 0.5])
    weights = random.integers(0, 4, 60)
    # By default statsmodels stops when the deviance stands still, which leaves half the digits of the coefficients.
    exactly = {"tol": 1e-14, "tol_criterion": "params"}
    plain = sm.GLM(outcomes, rows, family=sm.families.Binomial()).fit(**exactly)
    weighted = sm.GLM(outcomes, rows, family=sm.families.Binomial(), freq_weights=weights).fit(**exactly)
    return {
        "rows": rows.tolist(),
        "outcomes": outcomes.tolist(),
        "weights": weights.tolist(),
        "plain": plain.params.tolist(),
        "weighted": weighted.params.tolist(),
    }


def bleu() -> Json:
    texts = [
        "the cat sat on the mat and looked at the door",
        "the cat sat on the mat and looked at the window for a while",
        "a dog ran to the door",
        "the dog sat on the mat and the cat sat on the door",
        "yes",
    ]
    tokens = [text.split() for text in texts]
    smoothing = SmoothingFunction().method1
    scores = [
        sentence_bleu(tokens[:i] + tokens[i + 1 :], tokens[i], smoothing_function=smoothing) for i in range(len(tokens))
    ]
    return {"texts": texts, "selfBleu": float(np.mean(scores))}


def bootstrap(random: np.random.Generator) -> Json:
    values = np.round(random.gamma(2.0, size=40), 6)
    result = stats.bootstrap((values,), np.mean, n_resamples=200_000, method="percentile", rng=random)
    interval = result.confidence_interval
    return {"values": values.tolist(), "interval": [float(interval.low), float(interval.high)]}


def main() -> None:
    random = np.random.default_rng(7)
    quantiles = [1e-300, 1e-12, 1e-5, 0.2, 0.5, 0.6, 0.925, 0.93, 0.975, 0.999]
    sample = np.round(random.normal(size=23), 6)
    cases = {
        "normalQuantiles": [[p, float(stats.norm.ppf(p))] for p in quantiles],
        "wilson": wilson(),
        "kendall": kendall(random),
        "krippendorff": alpha(random),
        "kappa": kappas(random),
        "logistic": logistic(random),
        "bleu": bleu(),
        "bootstrap": bootstrap(random),
        "summary": {
            "values": sample.tolist(),
            "mean": float(sample.mean()),
            "sd": float(sample.std(ddof=1)),
            "median": float(np.median(sample)),
            "p95": float(np.percentile(sample, 95)),
        },
    }
    OUT.write_text(json.dumps(cases, separators=(",", ":")) + "\n")
    print(f"{OUT.stat().st_size:,} bytes in {OUT.name}")


if __name__ == "__main__":
    main()
