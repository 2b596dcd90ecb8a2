/**
 * Versions that a client refused (NACK). What it refused is not sent to it again until it changes;
 * what it held before stays in its place. Sets are interned, so that streams which refused the same
 * stay in the same place and go on sharing frames.
 */
import type { Entry, Replacement, Replacements, TypeView } from '../view/type-view.ts';

/**
 * Versions that several clients of a scope refused: by type and name. The other clients are not
 * sent them; those that took one keep it. Compared by identity.
 */
export type ScopeQuarantine = ReadonlyMap<string, ReadonlyMap<string, ReadonlySet<string>>>;

export interface Quarantined extends Replacement {
  /** The response had several changes and the client did not say which was wrong. */
  readonly unsure: boolean;
  /** The client was never sent it: others refused it. */
  readonly spared: boolean;
}

export class Quarantine implements Replacements {
  readonly all: readonly Quarantined[];
  /** Those of which it is not known whether they are bad. */
  readonly doubtful: readonly Quarantined[];
  /** Canonical: equal sets have equal keys. */
  readonly key: string;

  constructor(all: readonly Quarantined[], key: string) {
    this.all = all;
    this.doubtful = all.filter((one) => one.unsure);
    this.key = key;
  }
}

/** More than that is no rule gone bad but a client that refuses everything; the oldest are given up. */
const maxQuarantined = 10_000;

export class Quarantines {
  readonly #known = new Map<string, WeakRef<Quarantine>>();
  #sweepAt = 256;

  /**
   * `base` and more; later ones replace those of the same name. `undefined`: nothing is
   * quarantined.
   */
  add(base: Quarantine | undefined, more: readonly Quarantined[]): Quarantine | undefined {
    const byName = new Map((base?.all ?? []).map((one) => [one.name, one]));
    for (const one of more) byName.set(one.name, one);
    return this.#of([...byName.values()].slice(-maxQuarantined));
  }

  without(base: Quarantine | undefined, names: ReadonlySet<string>): Quarantine | undefined {
    if (base === undefined || names.size === 0) return base;
    return this.#of(base.all.filter((one) => !names.has(one.name)));
  }

  #of(all: readonly Quarantined[]): Quarantine | undefined {
    if (all.length === 0) return undefined;
    const sorted = all.toSorted((a, b) => (a.name < b.name ? -1 : 1));
    const key = sorted
      .map(
        ({ name, refused, held, unsure, spared }) =>
          `${name}\0${refused}\0${held?.version ?? ''}\0${String(unsure)}\0${String(spared)}`,
      )
      .join('\n');
    const known = this.#known.get(key)?.deref();
    if (known !== undefined) return known;
    if (this.#known.size >= this.#sweepAt) {
      for (const [other, ref] of this.#known) {
        if (ref.deref() === undefined) this.#known.delete(other);
      }
      this.#sweepAt = Math.max(256, 2 * this.#known.size);
    }
    const made = new Quarantine(sorted, key);
    this.#known.set(key, new WeakRef(made));
    return made;
  }
}

/** Names whose refused version is not what `target` has any more. */
export function liftable(quarantine: Quarantine, target: TypeView): readonly Quarantined[] {
  return quarantine.all.filter((one) => target.get(one.name)?.version !== one.refused);
}

/**
 * Which of the sent entries a client's message names. Envoy: `Error adding/updating cluster(s) a:
 * …, b: …`. A name counts where it stands by itself, not as a part of a longer one; of digits only,
 * as route tables' are, where it is told as a name too: ports, statuses and times look the same.
 */
export function culprits(message: string, sent: readonly Entry[]): readonly Entry[] {
  const found: Entry[] = [];
  let rest = message;
  for (const entry of sent.toSorted((a, b) => b.name.length - a.name.length)) {
    // A shorter name inside a longer one is not meant, so what was found is struck out.
    const without = entry.name === '' ? rest : strike(rest, entry.name);
    if (without === rest) continue;
    found.push(entry);
    rest = without;
  }
  return found;
}

const nameCharacter = /[\p{L}\p{N}_|/-]/u;
const number = /^\d+$/;
/**
 * What numbers that are names stand behind. Envoy: `… in route 80`, `listener(s) 80: …`; gRPC:
 * `resource index 0: 80: …`. A `cluster 80` may be what a route leads to.
 */
const nameFollows =
  /\b(?:(?:route(?:[_ ]?config(?:uration)?)?|listener|resource)(?:s|\(s\))?|cluster\(s\)|resource index \d+:|name:) $/i;
/** Enough for all of the above; what is before is not read again for each number. */
const maxBefore = 40;

/** Whether what stands from `at` to `end` is told as a name: in quotes, or behind a word for it. */
function toldAsName(message: string, at: number, end: number): boolean {
  const quote = message[at - 1];
  if (quote === '"' || quote === "'") {
    // A quoted message in a message has its quotes escaped.
    return message[end] === quote || message.startsWith(`\\${quote}`, end);
  }
  return nameFollows.test(message.slice(Math.max(0, at - maxBefore), at));
}

/** Blanks a name where it stands alone. */
function strike(message: string, name: string): string {
  const isNumber = number.test(name);
  let out = message;
  for (let at = out.indexOf(name); at >= 0; at = out.indexOf(name, at + name.length)) {
    const before = out[at - 1] ?? ' ';
    const end = at + name.length;
    const after = out[end] ?? ' ';
    const goesOn =
      nameCharacter.test(after) || (after === '.' && nameCharacter.test(out[end + 1] ?? ' '));
    if (before === '.' || nameCharacter.test(before) || goesOn) continue;
    if (isNumber && !toldAsName(out, at, end)) continue;
    out = out.slice(0, at) + ' '.repeat(name.length) + out.slice(end);
  }
  return out;
}
