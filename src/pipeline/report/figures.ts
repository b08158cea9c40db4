/** The figures of a report, drawn by ECharts to SVG: no browser is needed to make them, no script to look at them. */
import { LineChart, ScatterChart } from 'echarts/charts';
import { GridComponent, LegendComponent, MarkLineComponent } from 'echarts/components';
import { type EChartsCoreOption, init, use } from 'echarts/core';
import { SVGRenderer } from 'echarts/renderers';
import { type Html, trusted } from './html.ts';

use([LineChart, ScatterChart, GridComponent, LegendComponent, MarkLineComponent, SVGRenderer]);

/** Told apart by people with any kind of colour vision (Okabe and Ito's set). */
export const COLOURS = {
  proxy: '#0072b2',
  gold: '#e69f00',
  kl: '#009e73',
  length: '#cc79a7',
  plain: '#56606b',
} as const;
export type Colour = keyof typeof COLOURS;

// Without quotes, which an SVG attribute would end at.
const FONT = 'system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif';
const INK = '#3b4450';
const RULE = '#e3e7ec';

export interface Series {
  readonly name: string;
  readonly colour: Colour;
  /** [x, y]; points that are no number are left out. */
  readonly points: readonly (readonly [number, number])[];
}

export interface FigureOptions {
  /** For those who cannot see it. */
  readonly description: string;
  readonly x: string;
  readonly y: string;
  readonly width?: number;
  readonly height?: number;
}

/** Curves over a common axis. */
export function curves(series: readonly Series[], options: FigureOptions): Html {
  return draw(options, {
    ...axes(options),
    ...legend(series),
    series: series.map(({ name, colour, points }) => ({
      type: 'line',
      name,
      data: finite(points),
      showSymbol: points.length < 40,
      symbolSize: 4,
      lineStyle: { width: 2 },
      itemStyle: { color: COLOURS[colour] },
    })),
  });
}

/** Points in the order in which they came, joined, the last one marked. */
export function path(series: readonly Series[], options: FigureOptions): Html {
  return draw(options, {
    ...axes(options),
    ...legend(series),
    series: series.map(({ name, colour, points }) => {
      const data = finite(points);
      return {
        type: 'line',
        name,
        data: data.map((value, i) => ({ value, symbolSize: i === data.length - 1 ? 11 : 5 })),
        symbol: 'circle',
        lineStyle: { width: 1, opacity: 0.5 },
        itemStyle: { color: COLOURS[colour] },
      };
    }),
  });
}

export interface Interval {
  readonly name: string;
  readonly colour: Colour;
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/** Shares with their intervals, beside the line that they are compared with. */
export function intervals(items: readonly Interval[], options: FigureOptions & { reference: number }): Html {
  const height = options.height ?? 70 + 46 * items.length;
  return draw(
    { ...options, height },
    {
      grid: { left: 190, right: 40, top: 12, bottom: 44 },
      xAxis: { type: 'value', min: 0, max: 1, name: options.x, ...axisStyle('middle', 28) },
      yAxis: {
        type: 'category',
        inverse: true,
        data: items.map(({ name }) => name),
        axisLine: { show: false },
        axisTick: { show: false },
        axisLabel: { color: INK, fontSize: 13 },
      },
      series: items.flatMap(({ colour, value, low, high }, row) => [
        {
          type: 'line',
          data: [
            [low, row],
            [high, row],
          ],
          symbol: 'none',
          lineStyle: { width: 6, color: COLOURS[colour], opacity: 0.35, cap: 'round' },
          ...(row === 0 ? { markLine: markLine(options.reference) } : {}),
        },
        { type: 'scatter', data: [[value, row]], symbolSize: 13, itemStyle: { color: COLOURS[colour] } },
      ]),
    },
  );
}

function markLine(at: number) {
  return {
    silent: true,
    symbol: 'none',
    label: { show: false },
    lineStyle: { color: INK, type: 'dashed', width: 1 },
    data: [{ xAxis: at }],
  };
}

function axes({ x, y }: FigureOptions) {
  return {
    grid: { left: 62, right: 18, top: 34, bottom: 46 },
    xAxis: { type: 'value', name: x, min: 'dataMin', max: 'dataMax', ...axisStyle('middle', 28) },
    yAxis: { type: 'value', name: y, scale: true, ...axisStyle('end', 12) },
  };
}

function axisStyle(nameLocation: 'middle' | 'end', nameGap: number) {
  return {
    nameLocation,
    nameGap,
    nameTextStyle: { color: INK, fontSize: 12, align: nameLocation === 'end' ? 'left' : 'center' },
    axisLabel: { color: INK, fontSize: 11, formatter: shortNumber },
    axisLine: { lineStyle: { color: RULE } },
    splitLine: { lineStyle: { color: RULE } },
  };
}

function shortNumber(value: number): string {
  return String(Number(value.toPrecision(3)));
}

/** One curve needs no legend: the axis names it. */
function legend(series: readonly Series[]) {
  if (series.length < 2) return {};
  return { legend: { top: 0, right: 10, itemHeight: 8, textStyle: { color: INK, fontSize: 12 } } };
}

function finite(points: Series['points']): [number, number][] {
  return points.flatMap(([x, y]) => (Number.isFinite(x) && Number.isFinite(y) ? [[x, y] as [number, number]] : []));
}

function draw({ description, width = 520, height = 280 }: FigureOptions, option: EChartsCoreOption): Html {
  const chart = init(null, null, { renderer: 'svg', ssr: true, width, height });
  try {
    chart.setOption({ animation: false, textStyle: { fontFamily: FONT }, ...option });
    const svg = chart.renderToSVGString({ useViewBox: true });
    // Without a fixed size it fills its column.
    const sized = svg.replace(/^<svg width="[^"]*" height="[^"]*"/, '<svg width="100%"');
    return trusted(sized.replace('<svg ', `<svg role="img" aria-label="${description.replace(/[<>&"]/g, '')}" `));
  } finally {
    chart.dispose();
  }
}
