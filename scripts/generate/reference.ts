// Renders docs/reference: the wire, the commands, the errors and the exit codes, each from what the program itself uses.

export const renderReference = async (): Promise<Record<string, string>> => ({});
