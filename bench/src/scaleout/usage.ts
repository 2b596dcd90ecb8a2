/** Who uses the processor: CPU of each process between two looks. */
import type { Cluster } from 'xdsctl/components/cluster.ts';
import { cpuSecondsOf } from '../proc.ts';

export class Usage {
  readonly #pids: () => Promise<ReadonlyMap<string, readonly number[]>>;
  #before: ReadonlyMap<number, number> = new Map();
  #sinceMs = 0;

  /** Of the cluster as it is at each look, and of those that are given. */
  constructor(cluster: Cluster, others: Readonly<Record<string, readonly number[]>>) {
    this.#pids = async () =>
      new Map([
        ['kafka', cluster.kafka.nodes.map(({ pid }) => pid)],
        ['redis', [cluster.redis.pid]],
        ['translators', cluster.translators.filter((one) => one.running).map(({ pid }) => pid)],
        ['pushers', cluster.pushers.map(({ pid }) => pid)],
        ...Object.entries(others),
      ]);
  }

  async begin(): Promise<void> {
    const pids = [...(await this.#pids()).values()].flat();
    this.#before = new Map(pids.map((pid) => [pid, cpuSecondsOf(pid)]));
    this.#sinceMs = performance.now();
  }

  /** `kafka 0.31 …`: processors in use, on the average since the beginning. */
  async text(): Promise<string> {
    const seconds = (performance.now() - this.#sinceMs) / 1_000;
    const shares = [...(await this.#pids())].map(([name, pids]) => {
      const used = pids.reduce(
        (sum, pid) => sum + cpuSecondsOf(pid) - (this.#before.get(pid) ?? 0),
        0,
      );
      return `${name} ${(used / seconds).toFixed(2)}`;
    });
    return `processors: ${shares.join(', ')}`;
  }
}
