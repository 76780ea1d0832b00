// The names that banger makes and accepts: VMs, images, instances, and everything on the host that bears our prefix.
import { z } from "zod";

/** What every link, table and directory that banger makes on a host begins with. */
export const PREFIX = "bgr-";

const reserved = new Set(["localhost", "gateway", "host", "all", "ns", "www-data", "self"]);

/** A VM's name is a DNS label (RFC 1123 §2.1), lower case, since it becomes `NAME.vm` and the guest's hostname. */
export const VmName = z.string().superRefine((name, context) => {
  const issue = (message: string) => context.addIssue({ code: "custom", message });
  if (name === "") return issue("a VM's name cannot be empty");
  if (name.length > 63) return issue(`a VM's name has at most 63 characters, and this one has ${name.length}`);
  if (/[A-Z]/.test(name) && /^[A-Za-z0-9-]+$/.test(name)) return issue(`write it in lower case: ${name.toLowerCase()}`);
  if (!/^[a-z0-9-]+$/.test(name)) return issue("a VM's name has only the letters a-z, digits and hyphens");
  if (!/^[a-z]/.test(name)) return issue("a VM's name begins with a letter");
  if (name.endsWith("-")) return issue("a VM's name cannot end with a hyphen");
  if (reserved.has(name)) return issue(`${name} is a name with a meaning of its own; choose another`);
});

/** Twelve hexadecimal digits, random, never used twice. */
export const VmId = z.string().regex(/^[0-9a-f]{12}$/, "a VM's id is twelve hexadecimal digits");

/** A name, an id or a unique prefix of either. */
export const VmRef = z
  .string()
  .min(1, "name a VM")
  .max(63, "no VM has so long a name")
  .regex(/^[a-z0-9-]+$/, "that can be no VM: names have only a-z, 0-9 and hyphens");

export const ImageName = z
  .string()
  .min(1, "an image's name cannot be empty")
  .max(63, "an image's name has at most 63 characters")
  .regex(/^[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?$/, "an image's name has only a-z, 0-9, dot, underscore and hyphen inside");

export const ImageRef = z
  .string()
  .min(1, "name an image")
  .max(63, "no image has so long a name")
  .regex(/^[a-z0-9][a-z0-9._-]*$/, "that can be no image: names have only a-z, 0-9, dot, underscore and hyphen");

/** Five characters, random, kept in the state directory; it is in every name an instance makes. */
export const InstanceId = z.string().regex(/^[a-z0-9]{5}$/);

/** `bgr-<instance>`: 9 bytes. */
export const BridgeName = z.string().regex(/^bgr-[a-z0-9]{5}$/);
/** `bgr-<instance>-<slot>`: at most 13 of the 15 bytes that IFNAMSIZ leaves. */
export const TapName = z.string().regex(/^bgr-[a-z0-9]{5}-[0-9]{1,3}$/);

export const bridgeName = (instance: string): string => `${PREFIX}${instance}`;
export const tapName = (instance: string, slot: number): string => `${PREFIX}${instance}-${slot}`;

/** The users that jailed VMMs run as: where nothing else gives out ids (systemd's UIDS-GIDS), one for each VM. */
const JAIL_UIDS = 0x7000_0000;
const JAIL_UID_DIGITS = 6;
export const jailUid = (vmId: string): number => JAIL_UIDS + Number.parseInt(vmId.slice(-JAIL_UID_DIGITS), 16);
export const isJailUid = (uid: number): boolean => uid >= JAIL_UIDS && uid < JAIL_UIDS + 16 ** JAIL_UID_DIGITS;

export const LabelKey = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9._/-]{0,61}[a-z0-9])?$/, "a label's key has a-z, 0-9 and . _ / - inside");
export const LabelValue = z
  .string()
  .max(255, "a label's value has at most 255 characters")
  .regex(/^[^\p{Cc}]*$/u, "a label's value has no control characters");
export const Labels = z.record(LabelKey, LabelValue);

export const Ipv4 = z.ipv4();
export const Mac = z.string().regex(/^02(:[0-9a-f]{2}){5}$/, "a locally administered unicast MAC address");
/** A `/24` in the private ranges of RFC 1918. */
export const Subnet = z
  .string()
  .regex(
    /^(10\.\d{1,3}\.\d{1,3}|172\.(1[6-9]|2\d|3[01])\.\d{1,3}|192\.168\.\d{1,3})\.0\/24$/,
    "a private network like 10.77.5.0/24",
  )
  .refine(
    (subnet) =>
      subnet
        .split("/")[0]
        ?.split(".")
        .every((octet) => Number(octet) <= 255) ?? false,
    "an octet is over 255",
  );
