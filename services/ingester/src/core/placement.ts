import type { RawObject } from '../kind.ts';

/** One place where an object is written. */
export interface Placement {
  readonly source: string;
  readonly unit: string;
  readonly version: string;
  readonly line: number;
  readonly raw: RawObject;
  /** Of the parts that a decoder may look at. */
  readonly digest: string;
  /** It may be in a part of its unit that cannot be read: any other place counts more. */
  readonly isLost: boolean;
}

/** `shop/routes.yaml:12`; without a line (0), the file as a whole. */
export function originOf({ unit, line }: Pick<Placement, 'unit' | 'line'>): string {
  return line === 0 ? unit : `${unit}:${line}`;
}

export function byPlace(a: Placement, b: Placement): number {
  if (a.isLost !== b.isLost) return a.isLost ? 1 : -1;
  if (a.unit !== b.unit) return a.unit < b.unit ? -1 : 1;
  return a.line - b.line;
}
