import type { PartitionGroup } from '@watershed/log/group.ts';
import type { Life } from './life.ts';

interface Member {
  readonly life: Life;
  readonly assigned: (partitions: ReadonlySet<number>) => void;
}

/** Who shares partitions out, and may be late to say so: members then believe what was before. */
export class SimGroup {
  readonly #partitions: number;
  readonly #members = new Map<string, Member>();
  /** Partition → the member that it is meant for. */
  readonly #owners = new Map<number, string>();

  constructor(partitions: number) {
    this.#partitions = partitions;
  }

  connect(life: Life): PartitionGroup {
    return {
      shared: true,
      join: (assigned) => {
        this.#members.set(life.name, { life, assigned });
        this.rebalance(() => 0);
      },
      leave: async () => {
        this.#members.delete(life.name);
        this.rebalance(() => 0);
      },
    };
  }

  get members(): readonly string[] {
    return [...this.#members.keys()];
  }

  /** Shares all out anew; `choose(n)`: a number below n. The dead are found out by then. */
  rebalance(choose: (below: number) => number): void {
    for (const [name, { life }] of this.#members) if (life.over) this.#members.delete(name);
    const names = this.members;
    for (let partition = 0; partition < this.#partitions; partition++) {
      const name = names[(partition + choose(names.length)) % names.length];
      if (name !== undefined) this.#owners.set(partition, name);
    }
    for (const name of names) this.tell(name);
  }

  /** Gives one partition to a member, and tells nobody else: its last owner goes on with it. */
  usurp(partition: number, name: string): void {
    this.#owners.set(partition, name);
    this.tell(name);
  }

  /** Tells a member what is meant for it. */
  tell(name: string): void {
    const member = this.#members.get(name);
    if (member === undefined || member.life.over) return;
    const own = [...this.#owners].filter(([, owner]) => owner === name);
    member.assigned(new Set(own.map(([partition]) => partition)));
  }
}
