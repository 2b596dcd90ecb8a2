import type { SessionOptions } from '../session/session-options.ts';

/** Finds the options of sessions that are alike, so that a stream's share of them is a pointer. */
export class SessionKinds {
  readonly #known: SessionOptions[] = [];

  of(options: SessionOptions): SessionOptions {
    const known = this.#known.find((other) => isSame(other, options));
    if (known !== undefined) return known;
    if (this.#known.length < maxKinds) this.#known.push(options);
    return options;
  }
}

/** Modes, services and features: some dozens. */
const maxKinds = 256;

function isSame(a: SessionOptions, b: SessionOptions): boolean {
  return (
    a.mode === b.mode &&
    a.onlyType === b.onlyType &&
    a.mayHaveSecrets === b.mayHaveSecrets &&
    a.alwaysAnswer === b.alwaysAnswer &&
    a.hostsApart === b.hostsApart &&
    a.hostsOnDemand === b.hostsOnDemand &&
    a.ttlsMs === b.ttlsMs &&
    a.limits === b.limits
  );
}
