import { answeredBy, ask } from '../../components/clients.ts';
import { until } from './wait.ts';

export interface Reach {
  readonly ports: readonly number[];
  /** The host that is asked for. */
  readonly authority: string;
  /** Requests to each port: as many as the proxies that share it need to be asked each. */
  readonly times: number;
}

/** Waits until all requests of a turn come to that backend. */
export function reaches(name: string, { ports, authority, times }: Reach): Promise<true> {
  return until(`all requests for ${authority} come to ${name}`, async () => {
    const asked = ports.flatMap((port) => Array.from({ length: times }, () => port));
    const answers = await Promise.all(asked.map((port) => ask({ port, authority })));
    return answers.every((answer) => answeredBy(answer) === name) || undefined;
  });
}
