export function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? 0;
}

/** To one decimal. */
export function round(value: number): number {
  return Math.round(value * 10) / 10;
}

/** Median, least and most. */
export function spread(numbers: readonly number[]): string {
  return `${round(median(numbers))} (${round(Math.min(...numbers))}–${round(Math.max(...numbers))})`;
}
