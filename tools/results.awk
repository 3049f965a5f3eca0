# Reads the output of go test -v: prints one line for each package, what the
# tests that failed have said, and at the end what was skipped and why. How long
# each test took goes to the file that -v times=FILE names, for tools/slowest.

/^=== / { test = $3; next }

# A test has no slash in its name, its parts have. One that is indented is a test
# of a room that ran in the guest.
/^ *--- (PASS|FAIL): / && $3 !~ /\// {
	took[++tests] = substr($4, 2) + 0
	named[tests] = $3 (/^ / ? ", in the guest" : "")
}
/^ *--- PASS: / { next }

/^ *--- SKIP: / {
	top = $3
	sub(/\/.*/, "", top)
	why = said[$3]
	sub(/^ *[^ ]*\.go:[0-9]*: /, "", why)
	if (!(why in skipped))
		reasons[++n] = why
	if (!((why, top) in seen))
		skipped[why] = skipped[why] " " top
	seen[why, top] = 1
	next
}

/^(ok|FAIL)[ \t]+[^ \t]/ {
	if ($1 == "FAIL")
		printf "%s", text
	print
	fflush()
	for (i = 1; times && i <= tests; i++)
		printf "%8.1f s  %s %s\n", took[i], $2, named[i] >>times
	tests = 0
	text = ""
	split("", said)
	next
}

/^\?/ { next }
{ text = text $0 "\n"; said[test] = $0 }

END {
	# What belongs to no package: the go command's own complaints.
	printf "%s", text
	for (i = 1; i <= n; i++)
		print "skipped, " reasons[i] ":" skipped[reasons[i]]
}
