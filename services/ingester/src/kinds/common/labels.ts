/** Kubernetes labels and selectors over them. */

export type Labels = Readonly<Record<string, string>>;

const name = /^(?:[A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/u;
const prefixLabel = /^[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?$/u;
const maxName = 63;
const maxPrefix = 253;

export function isLabelKey(key: string): boolean {
  const slash = key.indexOf('/');
  const prefix = slash < 0 ? undefined : key.slice(0, slash);
  const rest = key.slice(slash + 1);
  if (rest.length > maxName || !name.test(rest)) return false;
  if (prefix === undefined) return true;
  return prefix.length <= maxPrefix && prefix.split('.').every((part) => prefixLabel.test(part));
}

export function isLabelValue(value: string): boolean {
  return value === '' || (value.length <= maxName && name.test(value));
}

/** Whether labels have all that the selector asks for; an empty selector selects everything. */
export function selects(selector: Labels, labels: Labels): boolean {
  return Object.entries(selector).every(([key, value]) => labels[key] === value);
}

export type SelectorOperator = 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';

export interface LabelSelector {
  readonly matchLabels: Labels;
  readonly matchExpressions: readonly {
    readonly key: string;
    readonly operator: SelectorOperator;
    readonly values: readonly string[];
  }[];
}

/** A Kubernetes LabelSelector: all of its labels and all of its expressions. */
export function selectorMatches(selector: LabelSelector, labels: Labels): boolean {
  if (!selects(selector.matchLabels, labels)) return false;
  return selector.matchExpressions.every(({ key, operator, values }) => {
    const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
    switch (operator) {
      case 'In':
        return value !== undefined && values.includes(value);
      case 'NotIn':
        return value === undefined || !values.includes(value);
      case 'Exists':
        return value !== undefined;
      case 'DoesNotExist':
        return value === undefined;
    }
  });
}
