# Reads the output of go test -v: prints one line for each package, what the
# tests that failed have said, and at the end what was skipped and why.

/^=== / { test = $3; next }
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
