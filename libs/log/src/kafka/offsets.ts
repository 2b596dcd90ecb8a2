import { listOffsetsV7 } from '@platformatic/kafka';
import type { Connection } from '@platformatic/kafka';
import { answer } from './codec.ts';
import { code, refusal } from './failure.ts';

/** A question about one topic: which partitions, and who wants to know. */
type Asked = Map<number, PromiseWithResolvers<number>>;

/**
 * Where partitions begin and end. What is asked in one turn is one request to each broker: who
 * looks at all partitions (how far behind is this shard?) would else hold up the appends, which go
 * over the same connections, with a round trip for each.
 */
export class Offsets {
  readonly #asked = new Map<Connection, Map<string, Asked>>();

  /** `timestamp`: -1n for the end that readers may reach, -2n for the beginning. */
  find(
    connection: Connection,
    topic: string,
    partition: number,
    timestamp: bigint,
  ): Promise<number> {
    const byQuestion = this.#asked.get(connection) ?? new Map<string, Asked>();
    this.#asked.set(connection, byQuestion);
    const question = `${timestamp} ${topic}`;
    let asked = byQuestion.get(question);
    if (asked === undefined) {
      const opened: Asked = new Map();
      byQuestion.set(question, (asked = opened));
      queueMicrotask(() => {
        byQuestion.delete(question);
        if (byQuestion.size === 0) this.#asked.delete(connection);
        void ask(connection, topic, timestamp, opened);
      });
    }
    const known = asked.get(partition) ?? Promise.withResolvers<number>();
    asked.set(partition, known);
    return known.promise;
  }
}

async function ask(
  connection: Connection,
  name: string,
  timestamp: bigint,
  asked: Asked,
): Promise<void> {
  const partitions = [...asked.keys()].map((partitionIndex) => {
    return { partitionIndex, currentLeaderEpoch: -1, timestamp };
  });
  try {
    const found = await answer(listOffsetsV7.api.async(connection, -1, 0, [{ name, partitions }]));
    const results = found.topics[0]?.partitions ?? [];
    for (const { partitionIndex, errorCode, offset } of results) {
      if (errorCode === code.none) asked.get(partitionIndex)?.resolve(Number(offset));
      else asked.get(partitionIndex)?.reject(refused(errorCode, name, partitionIndex));
    }
    for (const [partition, { reject }] of asked) reject(refused(-1, name, partition));
  } catch (error) {
    for (const { reject } of asked.values()) reject(error);
  }
}

function refused(errorCode: number, topic: string, partition: number): Error {
  return refusal(errorCode, `find the end of ${topic}/${partition}`, { needs: 'DESCRIBE' });
}
