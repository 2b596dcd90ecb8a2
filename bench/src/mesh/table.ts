import type { Row } from './measure.ts';

export function line(row: Row): string {
  const own = Math.max(0, row.cpu - row.idle);
  return (
    `${row.event.padEnd(28)} cpu ${row.cpu.toFixed(3)} s (own ${own.toFixed(3)})  ` +
    `${(row.bytes / 1e6).toFixed(2)} MB  encoded ${row.encoded}  resumed ${row.resumed}  ` +
    `p50 ${row.p50.toFixed(2)} p99 ${row.p99.toFixed(2)} s  clients ${row.touched}  ` +
    `rss ${row.rssMb.toFixed(0)} MB (heap ${row.heapMb.toFixed(0)}, ` +
    `external ${row.externalMb.toFixed(0)})  [${typesOf(row)}]\n`
  );
}

/** By type: messages, resources, bytes. */
function typesOf({ byType }: Row): string {
  return Object.entries(byType)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([type, { messages, resources, bytes }]) => `${type} ${messages}/${resources}/${bytes}`)
    .join(', ');
}

/** Medians of all rows of each event (of RSS: the most), in the order of their first appearance. */
export function medians(rows: readonly Row[]): string {
  const out = [
    '| event | CPU s | of it idle | MB | encodings | p50 s | p99 s | RSS MB | n |',
    '| --- | --- | --- | --- | --- | --- | --- | --- | --- |',
  ];
  for (const [event, same] of Map.groupBy(rows, (row) => row.event)) {
    const of = (pick: (row: Row) => number, digits: number): string =>
      median(same.map(pick)).toFixed(digits);
    out.push(
      `| ${event} | ${of((r) => r.cpu, 3)} | ${of((r) => r.idle, 3)} | ` +
        `${of((r) => r.bytes / 1e6, 2)} | ${of((r) => r.encoded, 0)} | ` +
        `${of((r) => r.p50, 2)} | ${of((r) => r.p99, 2)} | ` +
        `${Math.max(...same.map((r) => r.rssMb)).toFixed(0)} | ${same.length} |`,
    );
  }
  return `${out.join('\n')}\n`;
}

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const [low = 0, high = 0] = [sorted[middle - 1], sorted[middle]];
  return sorted.length % 2 === 1 ? high : (low + high) / 2;
}
