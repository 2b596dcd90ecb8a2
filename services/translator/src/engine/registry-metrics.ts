import { parseConfigKey } from '@watershed/model/keys.ts';
import { pilotMetrics } from '@watershed/runtime/pilot-metric-names.ts';
import type { Counter, Gauge, Metrics } from '@watershed/runtime/metrics.ts';
import type { Inputs } from '../inputs.ts';

type Update = 'config' | 'eds' | 'svc' | 'svcdelete';

/** What istiod counts of the changes that it gets, and of what it knows. */
export class RegistryMetrics {
  readonly #inputs: Pick<Inputs, 'services' | 'routes'>;
  readonly #updates: Readonly<Record<Update, Counter>>;
  readonly #services: Gauge;
  readonly #routes: Gauge;

  constructor(metrics: Metrics, inputs: Pick<Inputs, 'services' | 'routes'>) {
    const updates = metrics.counter(pilotMetrics.inboundUpdates);
    this.#inputs = inputs;
    this.#updates = {
      config: updates.with({ type: 'config' }),
      eds: updates.with({ type: 'eds' }),
      svc: updates.with({ type: 'svc' }),
      svcdelete: updates.with({ type: 'svcdelete' }),
    };
    this.#services = metrics.gauge(pilotMetrics.services).with();
    this.#routes = metrics.gauge(pilotMetrics.virtualServices).with();
  }

  /** A record has changed the inputs. */
  changed(topic: 'config' | 'endpoints', key: string, isGone: boolean): void {
    if (topic === 'endpoints') {
      this.#updates.eds.add();
      return;
    }
    const { kind } = parseConfigKey(key);
    if (kind === 'service') {
      this.#updates[isGone ? 'svcdelete' : 'svc'].add();
      this.#services.set(this.#inputs.services.size);
      return;
    }
    this.#updates.config.add();
    if (kind === 'route') this.#routes.set(this.#inputs.routes.size);
  }
}
