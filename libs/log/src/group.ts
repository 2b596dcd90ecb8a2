/**
 * Who works on which partitions of a topic, among several processes that do the same. It is about
 * sharing the work: that nobody else's word counts for a partition is what claims are for
 * (`ownership.ts`), so two members that both believe they have one do no harm.
 */
export interface PartitionGroup {
  /**
   * Whether there may be other members: then a partition that is claimed by another is not an
   * error.
   */
  readonly shared: boolean;
  /**
   * Becomes a member. `assigned` is told all partitions that are this member's: once it is one, and
   * whenever that changes. It stays a member through outages, and keeps its partitions meanwhile.
   */
  join(assigned: (partitions: ReadonlySet<number>) => void): void;
  /** The others take over at once. */
  leave(): Promise<void>;
}

/** The only member: all partitions are its own for good. */
export function soleMember(partitions: number): PartitionGroup {
  return {
    shared: false,
    join: (assigned) => assigned(new Set(Array.from({ length: partitions }, (_, at) => at))),
    leave: () => Promise.resolve(),
  };
}
