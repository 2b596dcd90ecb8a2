import { ttlsFor } from '../lifetimes.ts';
import type { ProxyNode } from '../node-scope.ts';
import type { SessionLimits, SessionOptions } from '../session/session-options.ts';
import type { StreamHow } from './carrier.ts';

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

interface StreamOptions extends Pick<StreamHow, 'mode'> {
  readonly onlyType: string | undefined;
  readonly once: boolean;
  readonly mayHaveSecrets: boolean;
  readonly limits: SessionLimits;
  readonly ttlsMs: ReadonlyMap<string, number>;
}

/** Of a stream's session, by what its client is. */
export function optionsFor(node: ProxyNode, stream: StreamOptions): SessionOptions {
  const { mode, onlyType, once, mayHaveSecrets, limits } = stream;
  const ttlsMs = ttlsFor(stream.ttlsMs, node, mode);
  return {
    ...{ mode, mayHaveSecrets, limits, alwaysAnswer: once },
    ...(ttlsMs === undefined ? {} : { ttlsMs }),
    ...(node.hostsApart ? { hostsApart: true, hostsOnDemand: node.hostsOnDemand } : {}),
    ...(onlyType === undefined ? {} : { onlyType }),
  };
}
