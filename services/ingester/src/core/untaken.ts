/** What the log never takes, because it is too large: told of at the object that gives it. */
import { topics } from '@watershed/model/keys.ts';
import type { Problem } from '../kind.ts';
import { problem, subjectOf, type Diagnostics } from './diagnostics.ts';
import type { PublishedEvent } from './ingest.ts';
import { eventId } from './outbox.ts';

interface Refused {
  readonly owner: string;
  readonly problem: Problem;
}

export class Untaken {
  readonly #diagnostics: Pick<Diagnostics, 'set'>;
  readonly #originOf: (owner: string) => string;
  /** By record. */
  readonly #refused = new Map<string, Refused>();

  /** `originOf`: where an object is written now, wherever it was when its event was made. */
  constructor(diagnostics: Pick<Diagnostics, 'set'>, originOf: (owner: string) => string) {
    this.#diagnostics = diagnostics;
    this.#originOf = originOf;
  }

  refused(event: PublishedEvent, reason: string): void {
    const found =
      event.topic === topics.objects
        ? problem(`a restart will not know it, the log does not take it: ${reason}`, 'warning')
        : problem(`the log does not take its event: ${reason}`);
    this.#replace(event, { owner: event.owner, problem: found });
  }

  taken(event: PublishedEvent): void {
    this.#replace(event, undefined);
  }

  #replace({ topic, key, owner }: PublishedEvent, refused: Refused | undefined): void {
    const id = eventId(topic, key);
    const former = this.#refused.get(id)?.owner ?? owner;
    if (refused === undefined) this.#refused.delete(id);
    else this.#refused.set(id, refused);
    // What one object gave may be another's by now.
    for (const one of new Set([former, owner])) this.#tell(one);
  }

  #tell(owner: string): void {
    const all = [...this.#refused.values()].filter((refused) => refused.owner === owner);
    const problems = all.map(({ problem: found }) => found);
    const origin = this.#originOf(owner);
    this.#diagnostics.set({ subject: subjectOf(owner), step: 'append', origin, problems });
  }
}
