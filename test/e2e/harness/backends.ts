import { startBackend, type Backend } from '../../components/backends.ts';
import type { ConfigDir } from './config-dir.ts';
import { service } from './objects.ts';

/** Starts sample backends, each the one workload of a Service of its name at port 80. */
export async function startServed(
  names: readonly string[],
  { config, namespace }: { readonly config: ConfigDir; readonly namespace: string },
): Promise<readonly Backend[]> {
  const backends: Backend[] = [];
  for (const name of names) {
    const backend = await startBackend({ name });
    backends.push(backend);
    const workloads = [{ port: backend.port }];
    await config.write(`service-${name}`, ...service({ name, namespace, port: 80, workloads }));
  }
  return backends;
}
