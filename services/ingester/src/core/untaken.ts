/** What the log never takes, because it is too large: told of at the object that gives it. */
import { topics } from '@watershed/model/keys.ts';
import type { Problem } from '../kind.ts';
import { problem, subjectOf, type Diagnostics } from './diagnostics.ts';
import type { PublishedEvent } from './ingest.ts';
import { eventId } from './outbox.ts';

export class Untaken {
  readonly #diagnostics: Pick<Diagnostics, 'set'>;
  /** By object, then by record. */
  readonly #problems = new Map<string, Map<string, Problem>>();

  constructor(diagnostics: Pick<Diagnostics, 'set'>) {
    this.#diagnostics = diagnostics;
  }

  refused(event: PublishedEvent, reason: string): void {
    const { topic, key, owner } = event;
    const found =
      topic === topics.objects
        ? problem(`a restart will not know it, the log does not take it: ${reason}`, 'warning')
        : problem(`the log does not take its event: ${reason}`);
    const problems = this.#problems.get(owner) ?? new Map<string, Problem>();
    this.#problems.set(owner, problems.set(eventId(topic, key), found));
    this.#tell(event);
  }

  taken(event: PublishedEvent): void {
    const { topic, key, owner } = event;
    const problems = this.#problems.get(owner);
    problems?.delete(eventId(topic, key));
    if (problems?.size === 0) this.#problems.delete(owner);
    this.#tell(event);
  }

  #tell({ owner, unit }: PublishedEvent): void {
    const problems = [...(this.#problems.get(owner)?.values() ?? [])];
    const subject = subjectOf(owner);
    this.#diagnostics.set({ subject, step: 'append', origin: unit, problems });
  }
}
