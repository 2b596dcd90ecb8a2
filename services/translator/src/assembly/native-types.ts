/**
 * The types of resources that are not Envoy's. Each is a folder of `generators` (what it is made
 * of, and how it is encoded) and one line here.
 */
import { addresses } from '../generators/address/plan.ts';
import { authorizations } from '../generators/authorization/plan.ts';
import type { NativeType } from './parts.ts';

export const nativeTypes: readonly NativeType[] = [addresses, authorizations];
