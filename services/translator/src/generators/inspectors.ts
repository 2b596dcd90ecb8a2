/** The listener filters that find out what a connection speaks, only on ports where a chain asks. */
import type { ListenerFilter } from '@watershed/proto/gen/envoy/config/listener/v3/listener_components.ts';
import type { WayIn } from './way-in.ts';
import { httpInspector, not, tlsInspector, toPorts } from './network-filters.ts';

export interface Need {
  /** 0: of all ports that no other chain names. */
  readonly port: number;
  readonly way: WayIn;
}

export function inspectors(needs: readonly Need[]): readonly ListenerFilter[] {
  const filters: ListenerFilter[] = [];
  const tls = portsOf(needs, ({ way }) => way.transport === 'tls');
  if (tls.wanted.size > 0) filters.push(tlsInspector(exceptions(tls)));
  const http = portsOf(needs, ({ way }) => way.protocols?.includes('http/1.1') === true);
  // Behind the other one: what is TLS need not be looked at again.
  if (http.wanted.size > 0) filters.push(httpInspector(exceptions(http)));
  return filters;
}

interface Ports {
  readonly wanted: ReadonlySet<number>;
  readonly all: ReadonlySet<number>;
}

function portsOf(needs: readonly Need[], wants: (need: Need) => boolean): Ports {
  const all = new Set(needs.map((need) => need.port));
  const wanted = new Set(needs.filter(wants).map((need) => need.port));
  return { wanted, all };
}

/** Where the filter is off: on named ports that do not want it, or on all but those that do. */
function exceptions({ wanted, all }: Ports): ReturnType<typeof toPorts> | undefined {
  const named = [...all].filter((port) => port !== 0).sort((a, b) => a - b);
  if (wanted.has(0)) {
    const off = named.filter((port) => !wanted.has(port));
    return off.length === 0 ? undefined : toPorts(off);
  }
  const on = named.filter((port) => wanted.has(port));
  if (on.length === named.length && !all.has(0)) return undefined;
  return not(toPorts(on));
}
