import type { Entry } from '../view/type-view.ts';
import { bytesPerName, type Cost } from './kept-names.ts';
import type { NameList } from './subscription.ts';

/** Why a client refused a response; the message is the client's own text, bounded. */
export interface ErrorDetail {
  readonly code: number;
  readonly message: string;
}

interface RequestBase {
  /** Empty only where the stream is of one type. */
  readonly typeUrl: string;
  /** Of the response that this answers; empty: none. */
  readonly nonce: string;
  /** Present: a NACK (rule 7). */
  readonly error: ErrorDetail | undefined;
  /** The encoded Node, where the request carries one. */
  readonly node: Uint8Array | undefined;
}

export interface SotwRequest extends RequestBase {
  readonly mode: 'sotw';
  readonly versionInfo: string;
  /** The whole subscription each time (rule 15). */
  readonly names: NameList;
}

export interface DeltaRequest extends RequestBase {
  readonly mode: 'delta';
  readonly subscribe: NameList;
  readonly unsubscribe: NameList;
  /** What the client holds from an earlier stream; only in the first request of a type (rule 41). */
  readonly initial: InitialVersions | undefined;
}

export type Request = SotwRequest | DeltaRequest;
export type Mode = Request['mode'];

/** `initial_resource_versions`, compared by identity. Its entries have no bytes. */
export class InitialVersions {
  readonly entries: readonly Entry[];
  #longest: number | undefined;
  #cost: Cost | undefined;

  constructor(entries: readonly Entry[]) {
    this.entries = entries;
  }

  /** Of a name or version, in characters. */
  get longest(): number {
    this.#longest ??= this.entries.reduce(
      (most, { name, version }) => Math.max(most, name.length, version.length),
      0,
    );
    return this.#longest;
  }

  /** What they cost where they are kept: apart from them, who are not kept for being counted. */
  get cost(): Cost {
    this.#cost ??= {
      bytes: this.entries.reduce(
        (sum, { name, version }) => sum + bytesPerName + name.length + version.length,
        0,
      ),
    };
    return this.#cost;
  }
}
