/**
 * A process full of simulated sidecars, steered over IPC. Its CPU is not the control plane's, so it
 * is a process of its own.
 */
import { DeltaClient } from './delta-client.ts';
import type { Message } from './messages.ts';

export interface ConnectCommand {
  readonly do: 'connect';
  readonly host: string;
  readonly port: number;
  readonly clients: readonly {
    readonly nodeId: string;
    readonly namespace: string;
    readonly labels: Record<string, string>;
  }[];
}

export type Command =
  | ConnectCommand
  /** Starts counting anew. */
  | { readonly do: 'mark' }
  | { readonly do: 'report' }
  | { readonly do: 'cut' }
  | { readonly do: 'reconnect' };

export interface TypeCount {
  messages: number;
  bytes: number;
  resources: number;
  removed: number;
}

export interface Report {
  readonly clients: number;
  /** Clients that got anything since the mark. */
  readonly touched: number;
  /** Milliseconds since the epoch at which each of these got (and ACKed) its last message. */
  readonly lastAt: readonly number[];
  readonly byType: Readonly<Record<string, TypeCount>>;
  readonly closed: number;
  /** Streams that the server answered since the mark. */
  readonly opened: number;
  readonly newestAt: number;
}

const clients: DeltaClient[] = [];
let lastAt = new Map<DeltaClient, number>();
let byType: Record<string, TypeCount> = {};
let closed = 0;
let opened = 0;
let newestAt = 0;

function now(): number {
  return performance.timeOrigin + performance.now();
}

function onMessage(client: DeltaClient, message: Message): void {
  newestAt = now();
  lastAt.set(client, newestAt);
  const type = message.typeUrl.slice(message.typeUrl.lastIndexOf('.') + 1);
  const count = (byType[type] ??= { messages: 0, bytes: 0, resources: 0, removed: 0 });
  count.messages++;
  count.bytes += message.bytes;
  count.resources += message.resources.length;
  count.removed += message.removed.length;
}

function report(): Report {
  return {
    clients: clients.length,
    touched: lastAt.size,
    lastAt: [...lastAt.values()],
    byType,
    closed,
    opened,
    newestAt,
  };
}

function mark(): void {
  lastAt = new Map();
  byType = {};
  closed = 0;
  opened = 0;
}

process.on('message', (command: Command) => {
  switch (command.do) {
    case 'connect':
      for (const [i, one] of command.clients.entries()) {
        const client = new DeltaClient({
          ...one,
          host: command.host,
          port: command.port,
          localAddress: `127.0.0.${2 + (i % 8)}`,
          onMessage,
          onOpened: () => opened++,
          onClosed: () => closed++,
        });
        clients.push(client);
        client.connect();
      }
      break;
    case 'mark':
      mark();
      break;
    case 'cut':
      for (const client of clients) client.cut();
      break;
    case 'reconnect':
      for (const client of clients) client.connect();
      break;
    case 'report':
      break;
  }
  process.send?.(report());
});
process.on('disconnect', () => process.exit());
