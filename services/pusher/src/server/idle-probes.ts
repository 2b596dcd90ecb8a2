import type { Timer, Timers } from '@watershed/runtime/clock.ts';

export interface IdleProbesOptions<Connection> {
  readonly timers: Timers;
  /** A connection of which nothing was read for so long is probed; up to a quarter more. */
  readonly idleMs: number;
  /** For the answer to a probe. */
  readonly probeMs: number;
  bytesRead(connection: Connection): number;
  /** Asks whether somebody is there. */
  probe(connection: Connection, answered: () => void): void;
  cut(connection: Connection): void;
}

interface State {
  bytesRead: number;
  /** In how many looks in a row nothing had come. */
  quiet: number;
  probe: Timer | undefined;
}

const looks = 4;
/** Of all connections, looked at in a row: a look at each takes a while where there are many. */
const slices = 16;

/**
 * Closes connections whose peer is gone without a word; it would hold its stream for ever. Looks at
 * each now and then: a timer per connection is set anew with everything that is read or written,
 * which made a push and its ACK a twentieth dearer.
 */
export class IdleProbes<Connection> {
  readonly #options: IdleProbesOptions<Connection>;
  readonly #connections = new Map<Connection, State>();
  #next: Iterator<[Connection, State]> | undefined;
  #timer: Timer | undefined;

  constructor(options: IdleProbesOptions<Connection>) {
    this.#options = options;
  }

  add(connection: Connection): void {
    this.#connections.set(connection, { bytesRead: 0, quiet: 0, probe: undefined });
    this.#schedule();
  }

  forget(connection: Connection): void {
    this.#connections.get(connection)?.probe?.cancel();
    this.#connections.delete(connection);
    if (this.#connections.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #schedule(): void {
    const { timers, idleMs } = this.#options;
    this.#timer ??= timers.after(idleMs / looks / slices, () => {
      this.#timer = undefined;
      this.#look(Math.ceil(this.#connections.size / slices));
      if (this.#connections.size > 0) this.#schedule();
    });
  }

  #look(count: number): void {
    for (let left = count; left > 0; left--) {
      this.#next ??= this.#connections.entries();
      const next = this.#next.next();
      if (next.done === true) {
        this.#next = undefined;
        return;
      }
      this.#lookAt(...next.value);
    }
  }

  #lookAt(connection: Connection, state: State): void {
    if (state.probe !== undefined) return;
    const { timers, probeMs } = this.#options;
    const bytesRead = this.#options.bytesRead(connection);
    state.quiet = bytesRead === state.bytesRead ? state.quiet + 1 : 0;
    state.bytesRead = bytesRead;
    if (state.quiet < looks) return;
    state.quiet = 0;
    state.probe = timers.after(probeMs, () => this.#options.cut(connection));
    this.#options.probe(connection, () => {
      state.probe?.cancel();
      state.probe = undefined;
    });
  }
}
