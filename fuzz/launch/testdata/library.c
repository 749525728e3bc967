int library(int k)
{
	if (k == '0')
		return 10;
	if (k == '1')
		return 11;
	return 12;
}
